-- The hand-written contenders keep their books in tables of the same shape as
-- pg_teller's: the same columns, checks, indexes and free space in the pages.
CREATE SCHEMA h;
CREATE TABLE h.account (LIKE teller.account INCLUDING ALL)
	WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE TABLE h.journal (LIKE teller.journal INCLUDING ALL);
CREATE TABLE h.bare (LIKE teller.journal INCLUDING ALL);
-- The same width of row; by hand there is no feed to number.
ALTER TABLE h.journal ALTER COLUMN tx SET DEFAULT 0;
ALTER TABLE h.bare ALTER COLUMN tx SET DEFAULT 0;

SELECT count(teller.open_account(1, i, 'USD'))
	FROM generate_series(1000, 999 + :accounts) i;
-- In batches: each one writes the account that pays only once.
SELECT count(p.id)
	FROM (SELECT array_agg(i) AS accounts,
			array_agg(1::bigint) AS world, array_agg(1000000.00) AS amounts
		  FROM generate_series(1000, 999 + :accounts) i GROUP BY i / 10000) b,
		 LATERAL teller.post(1, world, accounts, amounts) p;
INSERT INTO h.account SELECT * FROM teller.account;

-- A transfer by a function; bench/scripts/cte.sql does it in one statement.
CREATE FUNCTION h.transfer(ledger bigint, debit bigint, credit bigint,
						   amount numeric)
RETURNS TABLE (id uuid, debit_balance numeric, debit_version bigint,
			   credit_balance numeric, credit_version bigint)
LANGUAGE plpgsql AS $$
DECLARE
	d h.account;
	c h.account;
	a h.account;
	at timestamptz;
BEGIN
	IF amount <= 0 OR scale(amount) > 2 OR debit = credit THEN
		RAISE invalid_parameter_value;
	END IF;
	FOR a IN SELECT * FROM h.account t
		WHERE t.ledger_id = ledger AND t.account_id IN (debit, credit)
		ORDER BY t.account_id FOR NO KEY UPDATE
	LOOP
		IF a.account_id = debit THEN d := a; ELSE c := a; END IF;
	END LOOP;
	IF d.account_id IS NULL OR c.account_id IS NULL THEN
		RAISE no_data_found;
	END IF;
	IF d.posted - d.pending_debit - amount < d.min_balance
		OR c.posted + c.pending_credit + amount > c.max_balance
		OR d.status <> 'open' OR c.status <> 'open' OR d.asset <> c.asset
	THEN
		RAISE check_violation;
	END IF;
	at := greatest(clock_timestamp(), d.last_at, c.last_at);
	UPDATE h.account t SET posted = d.posted - amount, version = d.version + 1,
			last_at = at
		WHERE t.ledger_id = ledger AND t.account_id = debit;
	UPDATE h.account t SET posted = c.posted + amount, version = c.version + 1,
			last_at = at
		WHERE t.ledger_id = ledger AND t.account_id = credit;
	id := gen_random_uuid();
	debit_balance := d.posted - amount;
	debit_version := d.version + 1;
	credit_balance := c.posted + amount;
	credit_version := c.version + 1;
	INSERT INTO h.journal (ledger_id, id, kind, debit_account, credit_account,
			amount, debit_version, debit_posted, debit_pending, credit_version,
			credit_posted, credit_pending, effective_at, recorded_at, ends_hold)
		VALUES (ledger, id, 'transfer', debit, credit, amount, debit_version,
			debit_balance, d.pending_debit, credit_version, credit_balance,
			c.pending_credit, at, at, false);
	RETURN NEXT;
END $$;

-- The application's own payouts, as one would write them without pg_teller.
CREATE TABLE h.payout (
	id			uuid PRIMARY KEY DEFAULT gen_random_uuid(),
	account_id	bigint NOT NULL,
	nonce		text NOT NULL,
	memo		bytea NOT NULL,
	amount		numeric NOT NULL,
	state		text NOT NULL DEFAULT 'held',
	not_after	timestamptz NOT NULL DEFAULT clock_timestamp() + interval '15 min',
	reference	text,
	created_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	ended_at	timestamptz,
	UNIQUE (account_id, nonce)
) WITH (fillfactor = 70);
CREATE INDEX ON h.payout (created_at) WHERE state = 'held';
CREATE TABLE h.attempt (
	payout		uuid NOT NULL,
	attempt		int NOT NULL,
	started_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	ended_at	timestamptz,
	outcome		text,
	PRIMARY KEY (payout, attempt)
);

-- Submit: lock, check, set the money aside, remember the request.
CREATE FUNCTION h.submit(account bigint, amount numeric, nonce text)
RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
	a h.account;
	made uuid;
BEGIN
	SELECT * INTO STRICT a FROM h.account t
		WHERE t.ledger_id = 1 AND t.account_id = account FOR NO KEY UPDATE;
	IF a.posted - a.pending_debit - amount < a.min_balance THEN
		RAISE check_violation;
	END IF;
	INSERT INTO h.payout (account_id, nonce, memo, amount)
		VALUES (account, nonce,
			sha256(convert_to(format('%s|%s|%s', account, nonce, amount), 'UTF8')),
			amount)
		RETURNING payout.id INTO made;
	UPDATE h.account t SET pending_debit = t.pending_debit + amount,
			version = t.version + 1, last_at = clock_timestamp()
		WHERE t.ledger_id = 1 AND t.account_id = account;
	INSERT INTO h.journal (ledger_id, id, kind, debit_account, credit_account,
			amount, debit_version, debit_posted, debit_pending, effective_at,
			recorded_at, ends_hold)
		VALUES (1, gen_random_uuid(), 'hold', account, 2, amount, a.version + 1,
			a.posted, a.pending_debit + amount, clock_timestamp(),
			clock_timestamp(), false);
	NOTIFY payout;
	RETURN made;
END $$;

-- Settle: the outcome and the money in one transaction.
CREATE FUNCTION h.settle(which uuid, said text) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
	p h.payout;
	d h.account;
	c h.account;
	a h.account;
BEGIN
	SELECT * INTO STRICT p FROM h.payout WHERE id = which;
	FOR a IN SELECT * FROM h.account t
		WHERE t.ledger_id = 1 AND t.account_id IN (p.account_id, 2)
		ORDER BY t.account_id FOR NO KEY UPDATE
	LOOP
		IF a.account_id = 2 THEN c := a; ELSE d := a; END IF;
	END LOOP;
	UPDATE h.payout SET state = 'settled', reference = said,
			ended_at = clock_timestamp()
		WHERE id = which AND state = 'in_flight';
	IF NOT FOUND THEN
		RETURN;
	END IF;
	UPDATE h.attempt SET ended_at = clock_timestamp(), outcome = 'executed'
		WHERE payout = which AND ended_at IS NULL;
	UPDATE h.account t SET posted = d.posted - p.amount,
			pending_debit = d.pending_debit - p.amount, version = d.version + 1
		WHERE t.ledger_id = 1 AND t.account_id = d.account_id;
	UPDATE h.account t SET posted = c.posted + p.amount, version = c.version + 1
		WHERE t.ledger_id = 1 AND t.account_id = 2;
	INSERT INTO h.journal (ledger_id, id, kind, debit_account, credit_account,
			amount, debit_version, debit_posted, debit_pending, credit_version,
			credit_posted, credit_pending, effective_at, recorded_at, ends_hold)
		VALUES (1, gen_random_uuid(), 'capture', d.account_id, 2, p.amount,
			d.version + 1, d.posted - p.amount, d.pending_debit - p.amount,
			c.version + 1, c.posted + p.amount, c.pending_credit,
			clock_timestamp(), clock_timestamp(), false);
END $$;

VACUUM ANALYZE;
CHECKPOINT;
