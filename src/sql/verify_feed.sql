-- What teller.verify() asks of the order of the feed.

CREATE FUNCTION teller.verify_feed(bigint)
	RETURNS TABLE (invariant text, ledger_id bigint, object text, detail text)
	LANGUAGE sql STABLE
BEGIN ATOMIC
	-- I20: each row has the number of a transaction that can have written it
	WITH epoch AS (
		SELECT e.number, bool_and(e.system_identifier = s.system_identifier) AS here
		FROM teller.feed_epoch e CROSS JOIN pg_control_system() s
		GROUP BY e.number),
	-- the first transaction that is still to come, if the last epoch is of this server
	present AS (
		SELECT (e.number << 48) + greatest(pg_snapshot_xmax(pg_current_snapshot())::text::bigint,
			pg_current_xact_id_if_assigned()::text::bigint + 1) AS next
		FROM epoch e
		WHERE e.here AND e.number = (SELECT max(number) FROM epoch))
	SELECT 'I20', j.ledger_id, 'journal ' || j.id,
		CASE WHEN e.number IS NULL THEN format('its tx, %s, is of no epoch', j.tx)
			ELSE format('its tx, %s, is of a transaction yet to come', j.tx) END
	FROM teller.journal j
	LEFT JOIN epoch e ON e.number = j.tx >> 48
	WHERE ($1 IS NULL OR j.ledger_id = $1)
		AND (e.number IS NULL OR j.tx >= (SELECT next FROM present))
	UNION ALL
	-- I20: what was sealed is what comes up to there; the hashes are tested by verify_seal()
	SELECT 'I20', s.ledger_id, 'seal ' || s.number,
		format('at place %s: %s rows in all, %s of them its own, %s before it; the journal has %s up to its end',
			s.place, s.total, s.rows, s.total_before, n.up_to)
	FROM (SELECT t.ledger_id, t.number, t.rows, t.total, t.last_tx, t.last_id,
			coalesce(lag(t.total) OVER w, 0) AS total_before, lead(t.number) OVER w IS NULL AS is_last,
			row_number() OVER w AS place
		FROM teller.seal t
		WHERE $1 IS NULL OR t.ledger_id = $1
		WINDOW w AS (PARTITION BY t.ledger_id ORDER BY t.number)) s
	LEFT JOIN LATERAL (SELECT count(*) AS up_to FROM teller.journal j
		WHERE s.is_last AND j.ledger_id = s.ledger_id AND (j.tx, j.id) <= (s.last_tx, s.last_id)) n ON s.is_last
	WHERE s.place <> s.number OR s.total <> s.total_before + s.rows OR s.total <> n.up_to;
END;
COMMENT ON FUNCTION teller.verify_feed(bigint) IS 'Invariant I20 (the feed), as far as the rows tell; called by teller.verify().';
