-- Reading: the views movement, posting, account_balance and open_hold.
\pset format unaligned
\pset tuples_only on
SELECT teller.create_ledger(191);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(191, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(191, 2, 'USD', 'alice', metadata => '{"vip": true}'),
	teller.open_account(191, 3, 'USD', 'capped', min_balance => -5, max_balance => 200),
	teller.open_account(191, 4, 'USD');
SELECT id AS t FROM teller.transfer(191, 1, 2, 100, effective_at => '2020-01-01 00:00Z',
	metadata => '{"note": "pay"}') \gset
SELECT id AS h FROM teller.hold(191, 2, 3, 30, '1 day', metadata => '{"cart": 7}') \gset
SELECT id AS c FROM teller.capture(191, :'h', 10, final => false) \gset
SELECT id AS h2 FROM teller.hold(191, 2, 4, 5, '1 day') \gset
SELECT status FROM teller.release(191, :'h2');
SELECT id AS h3 FROM teller.hold(191, 1, 4, 8, '1 day') \gset
SELECT amount FROM teller.capture(191, :'h3', 6);

-- The columns are those of the contract, in this order.
SELECT table_name, string_agg(column_name, ' ' ORDER BY ordinal_position)
FROM information_schema.columns
WHERE table_schema = 'teller'
	AND table_name IN ('movement', 'posting', 'account_balance', 'open_hold')
GROUP BY table_name ORDER BY table_name;

-- So are those of the tables that the contract names.
SELECT table_name, string_agg(column_name, ' ' ORDER BY ordinal_position)
FROM information_schema.columns
WHERE table_schema = 'teller'
	AND table_name IN ('ledger', 'asset', 'account', 'journal', 'hold', 'key')
GROUP BY table_name ORDER BY table_name;

-- movement: the journal, row for row.
SELECT kind, debit_account, credit_account, amount, debit_version, debit_posted,
	debit_pending, credit_version, credit_posted, credit_pending, hold_id IS NOT NULL,
	reverses, batch_id, operation_id, effective_at = recorded_at, metadata
FROM teller.movement WHERE ledger_id = 191 ORDER BY debit_account, debit_version;
SELECT id = :'t', effective_at = '2020-01-01 00:00Z' FROM teller.movement
WHERE ledger_id = 191 AND kind = 'transfer';
SELECT count(*) FROM teller.movement AS m FULL JOIN teller.journal AS j USING (ledger_id, id)
WHERE ledger_id = 191 AND (m.amount, m.kind, m.debit_account) IS DISTINCT FROM (j.amount, j.kind, j.debit_account);
-- posting: one row for each account that a journal row touched, under its
-- version, with its own balances after it.
SELECT account_id, version, kind, side, amount, posted, pending, other_account,
	hold_id IS NOT NULL, metadata
FROM teller.posting WHERE ledger_id = 191 ORDER BY account_id, version;
-- The sides of a row share its id; the account's version is the number of its
-- postings.
SELECT count(*), count(DISTINCT journal_id) FROM teller.posting WHERE ledger_id = 191;
SELECT a.account_id, a.version, count(p.*), max(p.version)
FROM teller.account AS a LEFT JOIN teller.posting AS p USING (ledger_id, account_id)
WHERE a.ledger_id = 191 GROUP BY a.account_id, a.version ORDER BY a.account_id;

-- account_balance: what balance() says, beside the attributes.
SELECT account_id, asset, name, posted, pending_debit, pending_credit, available,
	version, min_balance, max_balance, status, metadata
FROM teller.account_balance WHERE ledger_id = 191 ORDER BY account_id;
SELECT count(*) FROM teller.account_balance AS v,
	LATERAL teller.balance(v.ledger_id, v.account_id) AS b
WHERE v.ledger_id = 191
	AND (v.posted, v.pending_debit, v.pending_credit, v.available, v.version)
		IS DISTINCT FROM (b.posted, b.pending_debit, b.pending_credit, b.available, b.version);

-- open_hold: every hold in state open, what remains of it, and whether it is
-- due; one that is over is not there.
SELECT hold_id = :'h', debit_account, credit_account, amount, captured, released,
	remaining, state, due, operation_id, metadata, created_at < expires_at
FROM teller.open_hold WHERE ledger_id = 191;
BEGIN;
UPDATE teller.hold SET expires_at = clock_timestamp() WHERE ledger_id = 191 AND hold_id = :'h';
SELECT remaining, due FROM teller.open_hold WHERE ledger_id = 191;
-- account_balance counts it as released.
SELECT pending_debit, available FROM teller.account_balance WHERE ledger_id = 191 AND account_id = 2;
SELECT pending_credit FROM teller.account_balance WHERE ledger_id = 191 AND account_id = 3;
ROLLBACK;
-- The hold of an operation has no deadline and is never due.
BEGIN;
UPDATE teller.hold SET expires_at = NULL, operation_id = '00000000-0000-7000-8000-000000000191'
WHERE ledger_id = 191 AND hold_id = :'h';
SELECT remaining, expires_at, due, operation_id IS NOT NULL FROM teller.open_hold WHERE ledger_id = 191;
ROLLBACK;

-- A hold shows on the account it would pay into, whether or not its row keeps
-- the sum.
SELECT status FROM teller.hold(191, 2, 4, 5, '1 day');
SELECT account_id, b.pending_credit, a.pending_credit AS stored
FROM teller.account AS a, LATERAL teller.balance(191, account_id) AS b
WHERE ledger_id = 191 ORDER BY account_id;

-- The views are for reading.
CREATE FUNCTION pg_temp.state_of(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate;
END
$$;
CREATE ROLE regress_teller_reading;
GRANT USAGE ON SCHEMA teller TO regress_teller_reading;
SELECT teller.grant_ledger(191, 'regress_teller_reading', 'operate');
SET ROLE regress_teller_reading;
SELECT view, command, pg_temp.state_of(format(command, 'teller.' || view))
FROM unnest(ARRAY['movement', 'posting', 'account_balance', 'open_hold']) AS view,
	unnest(ARRAY['DELETE FROM %s', 'INSERT INTO %s DEFAULT VALUES',
		'UPDATE %s SET ledger_id = 0', 'SELECT FROM %s FOR UPDATE']) AS command;
-- They can be filtered and joined by who may read.
SELECT count(*) FROM teller.movement JOIN teller.posting ON journal_id = id
WHERE movement.ledger_id = 191;
RESET ROLE;
SELECT teller.revoke_ledger(191, 'regress_teller_reading');
REVOKE USAGE ON SCHEMA teller FROM regress_teller_reading;
DROP ROLE regress_teller_reading;

-- Conditions on the ledger and the account reach the tables below the views.
CREATE FUNCTION pg_temp.plan_of(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	line text;
	plan text := '';
BEGIN
	FOR line IN EXECUTE 'EXPLAIN (COSTS off) ' || query LOOP
		plan := plan || line || E'\n';
	END LOOP;
	RETURN plan;
END
$$;
SET enable_seqscan = off;
SELECT plan LIKE '%(ledger_id = 191)%', plan LIKE '%(debit_account = 2)%',
	plan LIKE '%(credit_account = 2)%'
FROM pg_temp.plan_of(
	'SELECT * FROM teller.posting WHERE ledger_id = 191 AND account_id = 2') AS plan;
SELECT plan LIKE '%Index Cond: ((ledger_id = 191) AND (account_id = 2))%'
FROM pg_temp.plan_of(
	'SELECT * FROM teller.account_balance WHERE ledger_id = 191 AND account_id = 2') AS plan;
RESET enable_seqscan;

SELECT * FROM teller.verify();
