-- Every SQLSTATE that a caller can meet, raised once; for tables of the user's
-- own, once by each function.  See docs/errors.md.
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
CREATE DOMAIN regress_errors_even AS int CHECK (VALUE % 2 = 0);
CREATE TABLE regress_errors_wallet (id int PRIMARY KEY, balance numeric(12,2) CHECK (balance <> 13), seats smallint DEFAULT 10,
	pairs regress_errors_even DEFAULT 10, version smallint DEFAULT 0, note text, made int GENERATED ALWAYS AS (1) STORED);
INSERT INTO regress_errors_wallet (id, balance) VALUES (1, 100), (2, 100), (3, NULL);
INSERT INTO regress_errors_wallet (id, version) VALUES (4, 32767), (5, NULL);
CREATE TABLE regress_errors_keyless (id int, balance int, version int);
CREATE TABLE regress_errors_ruled (LIKE regress_errors_wallet INCLUDING ALL);
CREATE RULE nothing AS ON UPDATE TO regress_errors_ruled DO INSTEAD NOTHING;
CREATE VIEW regress_errors_view AS SELECT * FROM regress_errors_wallet;
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
SELECT * FROM teller.withdraw(131, 2, 'bank', 1, 'bob', 'n', on_denial => 'record');

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

-- On tables of the user's own: row_debit and row_credit.
-- TL001 insufficient_funds
SELECT teller.row_debit('regress_errors_wallet', 1, 100.01);

-- TL004 limit_exceeded
SELECT teller.row_credit('regress_errors_wallet', 1, 1, ceiling => 100);

-- TL009 not_found
SELECT teller.row_debit('regress_errors_wallet', 77, 1);

-- 22004 null value not allowed
SELECT teller.row_debit('regress_errors_wallet', 1, NULL);

-- 22023 invalid parameter value
SELECT teller.row_debit('regress_errors_wallet', 1, 1.005);

-- 22003 numeric value out of range
SELECT teller.row_credit('regress_errors_wallet', 1, 32767, 'seats');

-- 22P02 invalid text representation: an id that the key's type cannot read
SELECT teller.row_debit('regress_errors_wallet', 'x', 1);

-- 23514 check violation: of the table, of a domain
SELECT teller.row_debit('regress_errors_wallet', 1, 87);
SELECT teller.row_debit('regress_errors_wallet', 1, 1, 'pairs');

-- 42501 insufficient privilege
SET ROLE regress_teller_errors;
SELECT teller.row_debit('regress_errors_wallet', 1, 1);
RESET ROLE;
SELECT teller.row_debit('teller.account', 1, 1);

-- 42P01 undefined table
SELECT teller.row_debit(0, 1, 1);

-- 42703 undefined column
SELECT teller.row_debit('regress_errors_wallet', 1, 1, 'missing');

-- 42804 datatype mismatch: of the column, of the id
SELECT teller.row_debit('regress_errors_wallet', 1, 1, 'note');
SELECT teller.row_debit('regress_errors_wallet', 1.0, 1);

-- 42809 wrong object type
SELECT teller.row_debit('regress_errors_view', 1, 1);

-- 428C9 generated always
SELECT teller.row_debit('regress_errors_wallet', 1, 1, 'made');

-- 0A000 feature not supported: a rule INSTEAD
SELECT teller.row_debit('regress_errors_ruled', 1, 1);

-- 55000 object not in prerequisite state
SELECT teller.row_debit('regress_errors_keyless', 1, 1);
SELECT teller.row_debit('regress_errors_wallet', 3, 1);

-- 25006 read-only transaction
BEGIN READ ONLY;
SELECT teller.row_debit('regress_errors_wallet', 1, 1);
ROLLBACK;

-- 25P02 in failed transaction
BEGIN;
SELECT teller.row_debit('regress_errors_wallet', 1, 1000);
SELECT teller.row_debit('regress_errors_wallet', 1, 1);
ROLLBACK;

-- 27000 triggered data change violation: PostgreSQL's own, where the statement
-- itself changes the row that it debits
UPDATE regress_errors_wallet SET balance = teller.row_debit('regress_errors_wallet', id, 1) WHERE id = 1;

-- row_update
-- TL002 version_conflict
SELECT teller.row_update('regress_errors_wallet', 1, 7, '{"note": "x"}');

-- TL009 not_found
SELECT teller.row_update('regress_errors_wallet', 77, 0, '{"note": "x"}');

-- 22004 null value not allowed
SELECT teller.row_update('regress_errors_wallet', 1, NULL, '{"note": "x"}');

-- 22023 invalid parameter value
SELECT teller.row_update('regress_errors_wallet', 1, 0, '{}');

-- 22003 numeric value out of range: the version column is at its maximum
SELECT teller.row_update('regress_errors_wallet', 4, 32767, '{"note": "x"}');

-- 22P02 invalid text representation: of the id, of a value
SELECT teller.row_update('regress_errors_wallet', 'x', 0, '{"note": "x"}');
SELECT teller.row_update('regress_errors_wallet', 1, 0, '{"seats": "x"}');

-- 23514 check violation
SELECT teller.row_update('regress_errors_wallet', 1, 0, '{"balance": 13}');

-- 42501 insufficient privilege
SET ROLE regress_teller_errors;
SELECT teller.row_update('regress_errors_wallet', 1, 0, '{"note": "x"}');
RESET ROLE;

-- 42P01 undefined table
SELECT teller.row_update(0, 1, 0, '{"note": "x"}');

-- 42703 undefined column
SELECT teller.row_update('regress_errors_wallet', 1, 0, '{"missing": "x"}');

-- 42804 datatype mismatch: of the version column, of the id
SELECT teller.row_update('regress_errors_wallet', 1, 0, '{"seats": 1}', 'note');
SELECT teller.row_update('regress_errors_wallet', 1.0, 0, '{"note": "x"}');

-- 42809 wrong object type
SELECT teller.row_update('regress_errors_view', 1, 0, '{"note": "x"}');

-- 428C9 generated always
SELECT teller.row_update('regress_errors_wallet', 1, 0, '{"made": 1}');

-- 0A000 feature not supported
SELECT teller.row_update('regress_errors_ruled', 1, 0, '{"note": "x"}');

-- 55000 object not in prerequisite state
SELECT teller.row_update('regress_errors_wallet', 5, 0, '{"note": "x"}');

-- 25006 read-only transaction
BEGIN READ ONLY;
SELECT teller.row_update('regress_errors_wallet', 1, 0, '{"note": "x"}');
ROLLBACK;

-- lock_rows
-- TL009 not_found
SELECT teller.lock_rows('regress_errors_wallet', ARRAY[1, 77]);

-- 22004 null value not allowed
SELECT teller.lock_rows('regress_errors_wallet', ARRAY[1, NULL]);

-- 22023 invalid parameter value
SELECT teller.lock_rows('regress_errors_wallet', ARRAY[1], strength => 'hard');

-- 22P02 invalid text representation: of an id
SELECT teller.lock_rows('regress_errors_wallet', '{1,x}');

-- 42501 insufficient privilege
SET ROLE regress_teller_errors;
SELECT teller.lock_rows('regress_errors_wallet', ARRAY[1]);
RESET ROLE;

-- 42P01 undefined table
SELECT teller.lock_rows(0, ARRAY[1]);

-- 42804 datatype mismatch
SELECT teller.lock_rows('regress_errors_wallet', ARRAY[1.0]);

-- 42809 wrong object type
SELECT teller.lock_rows('regress_errors_view', ARRAY[1]);

-- 54000 program limit exceeded
SELECT teller.lock_rows('regress_errors_wallet', array_fill(1, ARRAY[10001]));

-- 55000 object not in prerequisite state
SELECT teller.lock_rows('regress_errors_keyless', ARRAY[1]);

-- 25006 read-only transaction
BEGIN READ ONLY;
SELECT teller.lock_rows('regress_errors_wallet', ARRAY[1]);
ROLLBACK;

-- guard_version
-- 39P01 trigger protocol violated
BEGIN;
CREATE TRIGGER guard BEFORE INSERT ON regress_errors_wallet FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
INSERT INTO regress_errors_wallet (id) VALUES (9);
ROLLBACK;

-- 42703 undefined column
BEGIN;
CREATE TRIGGER guard BEFORE UPDATE ON regress_errors_wallet FOR EACH ROW EXECUTE FUNCTION teller.guard_version('missing');
UPDATE regress_errors_wallet SET note = 'x' WHERE id = 1;
ROLLBACK;

-- 42804 datatype mismatch
BEGIN;
CREATE TRIGGER guard BEFORE UPDATE ON regress_errors_wallet FOR EACH ROW EXECUTE FUNCTION teller.guard_version('note');
UPDATE regress_errors_wallet SET note = 'x' WHERE id = 1;
ROLLBACK;

-- 22023 invalid parameter value: two arguments
BEGIN;
CREATE TRIGGER guard BEFORE UPDATE ON regress_errors_wallet FOR EACH ROW EXECUTE FUNCTION teller.guard_version('version', 'note');
UPDATE regress_errors_wallet SET note = 'x' WHERE id = 1;
ROLLBACK;

-- TL002 version_conflict, 22003 the version is at its maximum, 55000 it is NULL
BEGIN;
CREATE TRIGGER guard BEFORE UPDATE ON regress_errors_wallet FOR EACH ROW EXECUTE FUNCTION teller.guard_version();
SAVEPOINT guarded;
UPDATE regress_errors_wallet SET version = 7 WHERE id = 1;
ROLLBACK TO SAVEPOINT guarded;
UPDATE regress_errors_wallet SET note = 'x' WHERE id = 4;
ROLLBACK TO SAVEPOINT guarded;
UPDATE regress_errors_wallet SET note = 'x' WHERE id = 5;
ROLLBACK;

-- begin_request, finish_request and prune_requests
-- TL003 idempotency_mismatch
BEGIN;
SELECT fresh FROM teller.begin_request('errors', 'k', '{"n": 1}', '1 hour');
SELECT * FROM teller.begin_request('errors', 'k', '{"n": 2}', '1 hour');
ROLLBACK;

-- TL009 not_found
SELECT teller.finish_request('errors', 'k', '{}');

-- TL012 request_too_old
BEGIN;
INSERT INTO teller.request_horizon VALUES ('errors', '2020-01-01 00:00Z');
SELECT * FROM teller.begin_request('errors', 'k', '{}', '1 hour', '2019-12-31 00:00Z');
ROLLBACK;

-- 22004 null value not allowed
SELECT * FROM teller.begin_request('errors', NULL, '{}');
SELECT teller.finish_request('errors', 'k', NULL);
SELECT teller.prune_requests(NULL);

-- 22023 invalid parameter value
SELECT * FROM teller.begin_request('errors', '', '{}');
SELECT teller.prune_requests(0);

-- 54000 program limit exceeded
SELECT * FROM teller.begin_request('errors', 'k', to_jsonb(repeat('x', 1100000)));

-- 42501 insufficient privilege
BEGIN;
SELECT fresh FROM teller.begin_request('errors', 'k', '{}', '1 hour');
SET LOCAL ROLE regress_teller_errors;
SELECT * FROM teller.begin_request('errors', 'k', '{}', '1 hour');
ROLLBACK;

-- 55000 object not in prerequisite state: an unfinished request without a lease
-- at COMMIT, another response, a token that was overtaken
BEGIN;
SELECT fresh FROM teller.begin_request('errors', 'k', '{}');
COMMIT;
BEGIN;
SELECT fresh FROM teller.begin_request('errors', 'k', '{}');
SELECT teller.finish_request('errors', 'k', '1');
SELECT teller.finish_request('errors', 'k', '2');
ROLLBACK;
BEGIN;
SELECT fresh FROM teller.begin_request('errors', 'k', '{}', '1 hour');
SELECT teller.finish_request('errors', 'k', '1', -1);
ROLLBACK;

-- 25006 read-only transaction
BEGIN READ ONLY;
SELECT * FROM teller.begin_request('errors', 'k', '{}');
ROLLBACK;

\set VERBOSITY default
-- Nothing of it happened.
SELECT id, balance, seats, pairs, version, note FROM regress_errors_wallet ORDER BY id;
SELECT count(*) FROM teller.request WHERE scope = 'errors';
SELECT account_id, posted, pending_debit, version FROM teller.account
WHERE ledger_id = 131 ORDER BY account_id;
SELECT count(*) FROM teller.key WHERE ledger_id = 131;
DROP VIEW regress_errors_view;
DROP TABLE regress_errors_wallet, regress_errors_ruled, regress_errors_keyless;
DROP DOMAIN regress_errors_even;
REVOKE USAGE ON SCHEMA teller FROM regress_teller_errors;
DROP ROLE regress_teller_errors;

SELECT * FROM teller.verify();
