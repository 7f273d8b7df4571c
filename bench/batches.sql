-- What post() does, by hand and set-based: the accounts locked in order, limits
-- tested on what each account loses or gains in all, running balances and
-- versions by window functions, each account written once.
CREATE FUNCTION h.post(ledger bigint, debits bigint[], credits bigint[],
					   amounts numeric[])
RETURNS TABLE (ordinal bigint, id uuid, debit_balance numeric,
			   debit_version bigint, credit_balance numeric,
			   credit_version bigint)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	at timestamptz;
	good boolean;
BEGIN
	PERFORM FROM h.account
		WHERE ledger_id = ledger AND account_id = ANY (debits || credits)
		ORDER BY account_id FOR NO KEY UPDATE;

	-- Each statement has a snapshot of its own: from here on it is after the
	-- locks.
	WITH leg AS (
		SELECT account, sum(delta) AS net
		FROM (SELECT d, -m FROM unnest(debits, amounts) t (d, m)
			  UNION ALL
			  SELECT c, m FROM unnest(credits, amounts) t (c, m)) s (account, delta)
		GROUP BY account
	)
	SELECT bool_and(a.account_id IS NOT NULL AND a.status = 'open'
			AND (a.min_balance IS NULL
				 OR a.posted - a.pending_debit + net >= a.min_balance)
			AND (a.max_balance IS NULL
				 OR a.posted + a.pending_credit + net <= a.max_balance))
		AND min(a.asset) = max(a.asset)
		AND (SELECT bool_and(m > 0 AND scale(m) <= 2 AND d <> c)
			 FROM unnest(debits, credits, amounts) t (d, c, m)),
		greatest(clock_timestamp(), max(a.last_at))
	INTO good, at
	FROM leg LEFT JOIN h.account a
		ON a.ledger_id = ledger AND a.account_id = leg.account;
	IF good IS NOT TRUE THEN
		RAISE check_violation;
	END IF;

	RETURN QUERY
	WITH item AS MATERIALIZED (
		SELECT gen_random_uuid() AS id, d, c, m, o
		FROM unnest(debits, credits, amounts) WITH ORDINALITY t (d, c, m, o)
	), leg AS (
		SELECT o, true AS debit, d AS account, -m AS delta FROM item
		UNION ALL
		SELECT o, false, c, m FROM item
	), running AS MATERIALIZED (
		SELECT leg.o, leg.debit, leg.account, a.pending_debit, a.pending_credit,
			a.posted + sum(delta) OVER w AS posted,
			a.version + row_number() OVER w AS version,
			lead(leg.o) OVER w IS NULL AS last
		FROM leg JOIN h.account a
			ON a.ledger_id = ledger AND a.account_id = leg.account
		WINDOW w AS (PARTITION BY leg.account ORDER BY leg.o)
	), changed AS (
		UPDATE h.account a SET posted = r.posted, version = r.version, last_at = at
		FROM running r
		WHERE a.ledger_id = ledger AND a.account_id = r.account AND r.last
	), movement AS MATERIALIZED (
		SELECT item.o, item.id, item.d, item.c, item.m,
			d.posted AS d_posted, d.version AS d_version, d.pending_debit,
			c.posted AS c_posted, c.version AS c_version, c.pending_credit
		FROM item
		JOIN running d ON d.o = item.o AND d.debit
		JOIN running c ON c.o = item.o AND NOT c.debit
	), made AS (
		INSERT INTO h.journal (ledger_id, id, kind, debit_account,
				credit_account, amount, debit_version, debit_posted,
				debit_pending, credit_version, credit_posted, credit_pending,
				effective_at, recorded_at, ends_hold)
			SELECT ledger, id, 'transfer', d, c, m, d_version, d_posted,
				pending_debit, c_version, c_posted, pending_credit, at, at, false
			FROM movement
	)
	SELECT o, id, d_posted, d_version, c_posted, c_version
	FROM movement ORDER BY o;
END $$;

-- COPY has a table of its own.
CREATE TABLE h.copied (LIKE teller.journal INCLUDING ALL);
