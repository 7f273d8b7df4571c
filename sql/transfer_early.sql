-- transfer_early: a transfer that gives its locks back before it is on disk.
\pset format unaligned
\pset tuples_only on
SELECT teller.create_ledger(401), teller.create_ledger(402);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(401, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(401, 2, 'USD', 'alice'),
	teller.open_account(401, 3, 'USD', 'bob', max_balance => 50),
	teller.open_account(401, 4, 'JPY', 'yuki');

-- A procedure that can commit: neither SECURITY DEFINER nor SET.  Its arguments
-- are those of transfer, with their defaults, then the columns of the result
-- without the amount.
SELECT prokind, prosecdef, proconfig FROM pg_proc WHERE oid::regproc::text = 'teller.transfer_early';
SELECT pg_get_function_arguments('teller.transfer'::regproc) LIKE shared.arguments || ', OUT %', result
FROM regexp_replace(pg_get_function_arguments('teller.transfer_early'::regproc), '(^|, )IN ', '\1', 'g') AS whole,
	LATERAL (SELECT left(whole, position(', INOUT' IN whole) - 1), substr(whole, position(', INOUT' IN whole) + 2)) AS shared (arguments, result);

-- The result: balances and versions are those after the movement.
CALL teller.transfer_early(401, 1, 2, 100) \gset
\echo :status :debit_balance :debit_version :credit_balance :credit_version :replayed :{?reason}
SELECT kind, debit_account, credit_account, amount, debit_version, debit_posted, credit_version, credit_posted
FROM teller.journal WHERE ledger_id = 401 AND id = :'id';
SELECT * FROM teller.balance(401, 2);
-- What is passed for the result is not looked at.
CALL teller.transfer_early(401, 2, 1, 1.5, status => 'denied', replayed => true, id => '00000000-0000-7000-8000-000000000401') \gset
\echo :status :debit_balance :debit_version :replayed
-- The other arguments mean what they mean to transfer.
CALL teller.transfer_early(401, 2, 1, 0.5, 'all', 2, '2026-01-01 00:00Z', '{"order": 7}', 'raise', 98, 98, '2100-01-01 00:00Z') \gset
SELECT j.effective_at = '2026-01-01 00:00Z', j.metadata, k.request_time = '2100-01-01 00:00Z'
FROM teller.journal AS j JOIN teller.key AS k USING (ledger_id, id) WHERE j.ledger_id = 401 AND j.id = :'id';
CALL teller.transfer_early(401, 2, 1, 1, expected_version => 1);
CALL teller.transfer_early(401, 2, 1, 1, min_after => 97.01);
CALL teller.transfer_early(401, 2, 1, 1, max_after => 96.99);

-- A key is answered, not repeated: by itself, by transfer, by post and by find.
CALL teller.transfer_early(401, 1, 2, 10, key => 'early') \gset first_
CALL teller.transfer_early(401, 1, 2, 10.0, key => 'early') \gset
\echo :status :debit_balance :credit_version :replayed
SELECT :'id' = :'first_id';
SELECT id = :'first_id', status, amount, debit_balance, credit_version, replayed
FROM teller.transfer(401, 1, 2, 10, key => 'early');
SELECT id = :'first_id', replayed FROM teller.post(401, ARRAY[1], ARRAY[2], ARRAY[10], keys => ARRAY['early']);
SELECT function, id = :'first_id', status FROM teller.find(401, 'early');
SELECT id AS first_id FROM teller.transfer(401, 1, 2, 3, key => 'late') \gset
CALL teller.transfer_early(401, 1, 2, 3, key => 'late') \gset
SELECT :'id' = :'first_id', :'replayed', :'credit_balance';
CALL teller.transfer_early(401, 1, 2, 4, key => 'late');
SELECT id FROM teller.hold(401, 1, 2, 5, key => 'held') \gset
CALL teller.transfer_early(401, 1, 2, 5, key => 'held');
SELECT status FROM teller.release(401, :'id');

-- Denials: raised, and nothing is committed and the key is free; returned, the
-- same; recorded, and replayed.
SELECT * FROM teller.balance(401, 2) \gset before_
CALL teller.transfer_early(401, 2, 1, 1000, key => 'denied');
\echo :LAST_ERROR_SQLSTATE
SELECT count(*) FROM teller.find(401, 'denied');
CALL teller.transfer_early(401, 2, 1, 1000, key => 'denied', on_denial => 'return') \gset
\echo :{?id} :status :reason :debit_balance :debit_version :replayed
SELECT count(*) FROM teller.find(401, 'denied');
CALL teller.transfer_early(401, 2, 1, 1000, key => 'denied', on_denial => 'record') \gset
\echo :{?id} :status :reason :debit_balance :debit_version :replayed
CALL teller.transfer_early(401, 2, 1, 1000, key => 'denied') \gset
\echo :{?id} :status :reason :debit_balance :debit_version :replayed
SELECT status, reason, replayed FROM teller.transfer(401, 2, 1, 1000, key => 'denied');
CALL teller.transfer_early(401, 2, 1, 1000, on_denial => 'record');
CALL teller.transfer_early(401, 1, 3, 50.01);
CALL teller.transfer_early(401, 2, 4, 1);
SELECT * FROM teller.balance(401, 2) \gset after_
SELECT :'before_posted' = :'after_posted', :'before_version' = :'after_version';

-- Bad input: NULL for a required argument, each alone, and what is no amount.
CALL teller.transfer_early(NULL, 1, 2, 1);
CALL teller.transfer_early(401, NULL, 2, 1);
CALL teller.transfer_early(401, 1, NULL, 1);
CALL teller.transfer_early(401, 1, 2, NULL);
CALL teller.transfer_early(401, 1, 2, 1, on_denial => NULL);
CALL teller.transfer_early(401, 1, 2, 0);
CALL teller.transfer_early(401, 1, 2, 'NaN');
CALL teller.transfer_early(401, 1, 2, 1.005);
CALL teller.transfer_early(401, 2, 2, 1);
CALL teller.transfer_early(401, 1, 77, 1);
CALL teller.transfer_early(409, 1, 2, 1);
CALL teller.transfer_early(401, 1, 2, 1, key => '');
CALL teller.transfer_early(401, 1, 2, 1, metadata => '1');

-- 25001 in a transaction block, after a savepoint, in a string of statements, in
-- a function, in a block with EXCEPTION and by EXECUTE; nothing has changed.
\set VERBOSITY sqlstate
BEGIN;
CALL teller.transfer_early(401, 1, 2, 1);
ROLLBACK;
BEGIN;
SAVEPOINT s;
CALL teller.transfer_early(401, 1, 2, 1);
ROLLBACK TO s;
SELECT status FROM teller.transfer(401, 1, 2, 1);
ROLLBACK;
SELECT 1 \; CALL teller.transfer_early(401, 1, 2, 1);
CALL teller.transfer_early(401, 1, 2, 1) \; SELECT 1;
CREATE PROCEDURE regress_early_pay(debit bigint, credit bigint, amount numeric, on_denial text) LANGUAGE plpgsql AS $$
DECLARE
	id uuid;
	status text;
	reason text;
	debit_balance numeric;
	debit_version bigint;
	credit_balance numeric;
	credit_version bigint;
	replayed boolean;
BEGIN
	CALL teller.transfer_early(401, debit, credit, amount, on_denial => on_denial, id => id, status => status,
		reason => reason, debit_balance => debit_balance, debit_version => debit_version,
		credit_balance => credit_balance, credit_version => credit_version, replayed => replayed);
	RAISE NOTICE '% % %', status, debit_balance, credit_balance;
END
$$;
CREATE FUNCTION regress_early_call() RETURNS void LANGUAGE plpgsql AS $$
BEGIN
	CALL regress_early_pay(1, 2, 1, 'raise');
END
$$;
SELECT regress_early_call();
CREATE PROCEDURE regress_early_definer() LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
	CALL regress_early_pay(1, 2, 1, 'raise');
END
$$;
CALL regress_early_definer();
DO $$
BEGIN
	CALL regress_early_pay(1, 2, 1, 'raise');
EXCEPTION WHEN division_by_zero THEN
END
$$;
DO $$
BEGIN
	EXECUTE 'CALL teller.transfer_early(401, 1, 2, 1)';
END
$$;
BEGIN;
DO $$
BEGIN
	CALL regress_early_pay(1, 2, 1, 'raise');
END
$$;
ROLLBACK;
SELECT :'before_posted' = posted, :'before_version' = version FROM teller.balance(401, 2);
\set VERBOSITY default
BEGIN;
CALL teller.transfer_early(401, 1, 2, 1);
\echo :LAST_ERROR_SQLSTATE
ROLLBACK;

-- A procedure or a DO block may call it; that commits what they did before, and
-- a denial that is raised undoes it, back to the last commit.
CREATE TABLE regress_early_note (what text);
CALL regress_early_pay(1, 2, 1, 'raise');
DO $$
BEGIN
	INSERT INTO regress_early_note VALUES ('before the first');
	CALL regress_early_pay(2, 1, 1, 'raise');
	INSERT INTO regress_early_note VALUES ('before a denial that is returned');
	CALL regress_early_pay(2, 1, 1000, 'return');
	INSERT INTO regress_early_note VALUES ('before a denial that is raised');
	CALL regress_early_pay(2, 1, 1000, 'raise');
END
$$;
SELECT what FROM regress_early_note;
SELECT :'before_posted' = posted, version - :'before_version' FROM teller.balance(401, 2);

-- synchronous_commit is what it was, whatever it was, also after an error.
SELECT setting AS was FROM pg_settings WHERE name = 'synchronous_commit' \gset
SET synchronous_commit = 'local';
CALL teller.transfer_early(401, 1, 2, 1) \gset
SHOW synchronous_commit;
CALL teller.transfer_early(401, 2, 1, 1000);
SHOW synchronous_commit;
SET synchronous_commit = 'off';
CALL teller.transfer_early(401, 2, 1, 1) \gset
SHOW synchronous_commit;
RESET synchronous_commit;
SELECT current_setting('synchronous_commit') = :'was';

-- Read-only, and above READ COMMITTED.
SET default_transaction_read_only = on;
CALL teller.transfer_early(401, 1, 2, 1);
\echo :LAST_ERROR_SQLSTATE
RESET default_transaction_read_only;
SET default_transaction_isolation = 'serializable';
CALL teller.transfer_early(401, 1, 2, 1) \gset
\echo :status :replayed
CALL teller.transfer_early(401, 2, 1, 1) \gset
\echo :status :replayed
RESET default_transaction_isolation;

-- Rights: post on the ledger, nothing less, and no word about another one.
CREATE ROLE regress_early_app;
GRANT USAGE ON SCHEMA teller TO regress_early_app;
SET ROLE regress_early_app;
CALL teller.transfer_early(401, 1, 2, 1);
RESET ROLE;
SELECT teller.grant_ledger(401, 'regress_early_app', 'read');
SET ROLE regress_early_app;
CALL teller.transfer_early(401, 1, 2, 1);
RESET ROLE;
SELECT teller.grant_ledger(401, 'regress_early_app', 'post');
SET ROLE regress_early_app;
CALL teller.transfer_early(401, 1, 2, 1) \gset
\echo :status :credit_balance
SELECT current_user;
CALL teller.transfer_early(402, 1, 2, 1, key => 'known');
CALL teller.transfer_early(408, 1, 2, 1, key => 'known');
RESET ROLE;
SELECT teller.revoke_ledger(401, 'regress_early_app');

-- The feed has each of them once.
SELECT count(*) = (SELECT count(*) FROM teller.journal WHERE ledger_id = 401), count(DISTINCT id) = count(*)
FROM teller.journal_since(401, NULL, 1000);
SELECT * FROM teller.verify();

-- Tidy up.
DROP PROCEDURE regress_early_pay, regress_early_definer;
DROP FUNCTION regress_early_call;
DROP TABLE regress_early_note;
REVOKE ALL ON SCHEMA teller FROM regress_early_app;
DROP ROLE regress_early_app;
