-- Every SQLSTATE that a caller of the ledger can meet, raised once.  See
-- docs/errors.md.
\pset format unaligned
\pset tuples_only on
CREATE ROLE regress_teller_errors;
GRANT USAGE ON SCHEMA teller TO regress_teller_errors;
SELECT teller.create_ledger(131);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(131, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(131, 2, 'USD', 'alice'),
	teller.open_account(131, 3, 'USD', 'capped', max_balance => 50),
	teller.open_account(131, 4, 'JPY', 'yuki');
SELECT status FROM teller.transfer(131, 1, 2, 100, key => 'fund');
SELECT id AS h FROM teller.hold(131, 2, 1, 10) \gset
SELECT status FROM teller.release(131, :'h');
\set VERBOSITY sqlstate

-- TL001 insufficient_funds
SELECT * FROM teller.transfer(131, 2, 1, 100.01);

-- TL002 version_conflict
SELECT * FROM teller.transfer(131, 2, 1, 1, expected_version => 1);

-- TL003 idempotency_mismatch
SELECT * FROM teller.transfer(131, 1, 2, 101, key => 'fund');

-- TL004 limit_exceeded
SELECT * FROM teller.transfer(131, 1, 3, 50.01);

-- TL005 account_not_active
BEGIN;
UPDATE teller.account SET status = 'frozen' WHERE ledger_id = 131 AND account_id = 2;
SELECT * FROM teller.transfer(131, 2, 1, 1);
ROLLBACK;

-- TL006 hold_not_open
SELECT * FROM teller.capture(131, :'h');

-- TL007 asset_mismatch
SELECT * FROM teller.transfer(131, 2, 4, 1);

-- TL009 not_found
SELECT * FROM teller.balance(131, 77);

-- 22004 null value not allowed
SELECT * FROM teller.transfer(131, NULL, 2, 1);

-- 22023 invalid parameter value
SELECT * FROM teller.transfer(131, 1, 2, 1.005);

-- 22003 numeric value out of range
SELECT * FROM teller.transfer(131, 1, 2, 1e39);

-- 22021 character not in repertoire: PostgreSQL's own, for NUL in a text
SELECT * FROM teller.transfer(131, 1, 2, 1, key => E'a\x00b');

-- 54000 program limit exceeded
SELECT teller.lock_accounts(131, array_fill(1::bigint, ARRAY[10001]));

-- 42501 insufficient privilege
SET ROLE regress_teller_errors;
SELECT * FROM teller.balance(131, 2);
RESET ROLE;

-- 42704 undefined object: a role that does not exist
SELECT teller.grant_ledger(131, 0, 'read');

-- 0A000 feature not supported
SELECT teller.open_account(131, 5, 'USD', reentrancy => 'queue');

-- 55000 object not in prerequisite state
SELECT teller.create_asset('USD', 3);

-- 25006 read-only transaction
BEGIN READ ONLY;
SELECT * FROM teller.transfer(131, 1, 2, 1);
ROLLBACK;

-- 25P02 in failed transaction
BEGIN;
SELECT * FROM teller.transfer(131, 2, 1, 1000);
SELECT * FROM teller.transfer(131, 1, 2, 1);
ROLLBACK;

-- 23514 check violation: of a constraint that an administrator added
BEGIN;
ALTER TABLE teller.account ADD CHECK (ledger_id <> 131 OR posted < 1000);
SELECT * FROM teller.transfer(131, 1, 2, 1000);
ROLLBACK;

-- 23505 unique violation: of an index that an administrator added
BEGIN;
CREATE UNIQUE INDEX ON teller.journal (ledger_id, effective_at) WHERE ledger_id = 131;
SELECT status FROM teller.transfer(131, 1, 2, 1, effective_at => '2000-01-01 00:00Z');
SELECT * FROM teller.transfer(131, 1, 2, 1, effective_at => '2000-01-01 00:00Z');
ROLLBACK;

-- 25001 active transaction: a wait that could see nothing change
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT teller.await(131, '00000000-0000-7000-8000-000000000131');
ROLLBACK;

-- 42809 wrong object type: a server that is not one of pg_teller's
BEGIN;
CREATE FOREIGN DATA WRAPPER regress_teller_wrapper;
CREATE SERVER regress_teller_server FOREIGN DATA WRAPPER regress_teller_wrapper;
SELECT teller.set_settlement_account(131, 'regress_teller_server', 1);
ROLLBACK;

-- 39P03 event trigger protocol violated: the guard of DROP EXTENSION is not for
-- calling
SELECT teller.guard_drop();

-- XX001 data corrupted: a row that pg_teller did not write
BEGIN;
ALTER TABLE teller.account DROP CONSTRAINT account_posted_check;
UPDATE teller.account SET posted = 'NaN' WHERE ledger_id = 131 AND account_id = 2;
SELECT * FROM teller.balance(131, 2);
ROLLBACK;

\set VERBOSITY default
-- Nothing of it happened.
SELECT account_id, posted, pending_debit, version FROM teller.account
WHERE ledger_id = 131 ORDER BY account_id;
SELECT count(*) FROM teller.key WHERE ledger_id = 131;
REVOKE USAGE ON SCHEMA teller FROM regress_teller_errors;
DROP ROLE regress_teller_errors;

SELECT * FROM teller.verify();
