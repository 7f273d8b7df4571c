-- What one writes by hand to expire the holds that are due, on tables of the
-- same shape as pg_teller's.
CREATE SCHEMA h;
CREATE TABLE h.account (LIKE teller.account INCLUDING ALL)
	WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE h.journal (LIKE teller.journal INCLUDING ALL);
ALTER TABLE h.journal ALTER COLUMN tx SET DEFAULT 0;
CREATE TABLE h.hold (LIKE teller.hold INCLUDING ALL)
	WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- So many at a time, by one statement.
CREATE FUNCTION h.sweep(batch integer) RETURNS bigint
LANGUAGE sql AS $$
	WITH due AS MATERIALIZED (
		SELECT t.ledger_id, t.hold_id, t.debit_account, t.credit_account,
			t.amount - t.captured - t.released AS rest
		FROM h.hold t
		WHERE t.ledger_id = 1 AND t.state = 'open' AND t.expires_at <= clock_timestamp()
		ORDER BY t.expires_at LIMIT batch FOR NO KEY UPDATE SKIP LOCKED),
	locked AS MATERIALIZED (
		SELECT a.account_id, a.version, a.posted, a.pending_debit,
			greatest(clock_timestamp(), a.last_at) AS at
		FROM h.account a
		WHERE a.ledger_id = 1 AND a.account_id IN (SELECT d.debit_account FROM due d)
		ORDER BY a.account_id FOR NO KEY UPDATE),
	line AS MATERIALIZED (
		SELECT d.*, l.posted, l.at, l.version + row_number() OVER w AS version_after,
			l.pending_debit - sum(d.rest) OVER w AS pending_after
		FROM due d JOIN locked l ON l.account_id = d.debit_account
		WINDOW w AS (PARTITION BY d.debit_account ORDER BY d.hold_id)),
	ended AS (
		UPDATE h.hold t SET state = 'expired', released = t.released + l.rest, ended_at = l.at
		FROM line l WHERE t.ledger_id = 1 AND t.hold_id = l.hold_id),
	freed AS (
		UPDATE h.account a SET pending_debit = a.pending_debit - s.rest,
			version = a.version + s.holds, last_at = s.at
		FROM (SELECT l.debit_account, sum(l.rest) AS rest, count(*) AS holds, max(l.at) AS at
			FROM line l GROUP BY l.debit_account) s
		WHERE a.ledger_id = 1 AND a.account_id = s.debit_account),
	written AS (
		INSERT INTO h.journal (ledger_id, id, kind, debit_account, credit_account, amount,
			debit_version, debit_posted, debit_pending, hold_id, effective_at, recorded_at, ends_hold)
		SELECT 1, gen_random_uuid(), 'expire', l.debit_account, l.credit_account, l.rest,
			l.version_after, l.posted, l.pending_after, l.hold_id, l.at, l.at, true
		FROM line l
		RETURNING 1)
	SELECT count(*) FROM written
$$;

-- The same, row by row.
CREATE FUNCTION h.sweep_loop(batch integer) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	d h.hold;
	a h.account;
	rest numeric;
	at timestamptz;
	swept bigint := 0;
BEGIN
	FOR d IN SELECT * FROM h.hold t
		WHERE t.ledger_id = 1 AND t.state = 'open' AND t.expires_at <= clock_timestamp()
		ORDER BY t.expires_at LIMIT batch FOR NO KEY UPDATE SKIP LOCKED
	LOOP
		rest := d.amount - d.captured - d.released;
		SELECT * INTO STRICT a FROM h.account t
			WHERE t.ledger_id = 1 AND t.account_id = d.debit_account FOR NO KEY UPDATE;
		at := greatest(clock_timestamp(), a.last_at);
		UPDATE h.account t SET pending_debit = a.pending_debit - rest,
				version = a.version + 1, last_at = at
			WHERE t.ledger_id = 1 AND t.account_id = d.debit_account;
		UPDATE h.hold t SET state = 'expired', released = d.released + rest, ended_at = at
			WHERE t.ledger_id = 1 AND t.hold_id = d.hold_id;
		INSERT INTO h.journal (ledger_id, id, kind, debit_account, credit_account, amount,
				debit_version, debit_posted, debit_pending, hold_id, effective_at, recorded_at, ends_hold)
			VALUES (1, gen_random_uuid(), 'expire', d.debit_account, d.credit_account, rest,
				a.version + 1, a.posted, a.pending_debit - rest, d.hold_id, at, at, true);
		swept := swept + 1;
	END LOOP;
	RETURN swept;
END $$;

CALL growth.load(:accounts, :accounts);
INSERT INTO h.account SELECT * FROM teller.account;
VACUUM ANALYZE;
