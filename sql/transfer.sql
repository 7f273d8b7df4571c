-- transfer: money from one account to another, now.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without what differs from run to run.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''));
END
$$;
-- A hash of every row of the ledger in every table, with its place on disk.
CREATE FUNCTION pg_temp.books() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	relation name;
	part text;
	whole text := '';
BEGIN
	FOR relation IN SELECT table_name FROM information_schema.columns
		JOIN information_schema.tables USING (table_schema, table_name)
		WHERE table_schema = 'teller' AND table_type = 'BASE TABLE'
			AND column_name = 'ledger_id'
		ORDER BY table_name LOOP
		EXECUTE format('SELECT md5(string_agg(concat(t.ctid, t.xmin, t), ''|'' ORDER BY t.ctid))'
			' FROM teller.%I AS t WHERE ledger_id = 211', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(211);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(211, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(211, 2, 'USD', 'alice'),
	teller.open_account(211, 3, 'USD', 'bob', max_balance => 50),
	teller.open_account(211, 4, 'USD', 'overdraft', min_balance => -25),
	teller.open_account(211, 5, 'USD', 'reserve', min_balance => 10),
	teller.open_account(211, 6, 'JPY', 'yuki', min_balance => NULL);

-- The row that comes back: balances and versions are those after the movement.
SELECT id IS NOT NULL, status, reason, amount, debit_balance, debit_version,
	credit_balance, credit_version, replayed
FROM teller.transfer(211, 1, 2, 100);
SELECT * FROM teller.balance(211, 1);
SELECT * FROM teller.balance(211, 2);

-- One journal row with both sides, and the id that was returned.
SELECT id AS moved FROM teller.transfer(211, 2, 1, 30.5) \gset
SELECT kind, debit_account, credit_account, amount,
	debit_version, debit_posted, debit_pending,
	credit_version, credit_posted, credit_pending,
	hold_id, reverses, batch_id, operation_id, metadata,
	effective_at = recorded_at
FROM teller.journal WHERE ledger_id = 211 AND id = :'moved';

-- Ids are version-7 UUIDs.
SELECT substr(:'moved', 15, 1), substr(:'moved', 20, 1) IN ('8', '9', 'a', 'b');

-- Without funds: TL001 with what is available, the minimum and the version.
-- Exactly what is available can be had, and then nothing.
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 1, 69.51)');
SELECT status, debit_balance FROM teller.transfer(211, 2, 1, 69.5);
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 1, 0.01)');
-- 99 available, 100 asked.
SELECT status FROM teller.transfer(211, 1, 2, 99);
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 1, 100)');

-- An overdraft goes to its minimum and no further.
SELECT debit_balance FROM teller.transfer(211, 4, 1, 25);
SELECT pg_temp.says('SELECT teller.transfer(211, 4, 1, 0.01)');

-- A minimum above zero stays in the account.
SELECT status FROM teller.transfer(211, 1, 5, 30);
SELECT pg_temp.says('SELECT teller.transfer(211, 5, 1, 20.01)');
SELECT debit_balance FROM teller.transfer(211, 5, 1, 20);

-- Who was never paid gets the hint how to be; who was does not.
SELECT teller.open_account(211, 7, 'USD', 'new');
SELECT pg_temp.says('SELECT teller.transfer(211, 7, 1, 1)');

-- The maximum: TL004 beyond it, exactly it works.
SELECT pg_temp.says('SELECT teller.transfer(211, 1, 3, 50.01)');
SELECT credit_balance FROM teller.transfer(211, 1, 3, 50);
SELECT pg_temp.says('SELECT teller.transfer(211, 1, 3, 0.01)');
-- From the full account money can go.
SELECT debit_balance FROM teller.transfer(211, 3, 1, 0.01);

-- Accounts of two assets, one account twice, accounts that are not there.
SELECT pg_temp.says('SELECT teller.transfer(211, 1, 6, 1)');
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 2, 1)');
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 77, 1)');
SELECT pg_temp.says('SELECT teller.transfer(211, 77, 2, 1)');
SELECT pg_temp.says('SELECT teller.transfer(219, 1, 2, 1)');

-- on_denial => 'return': a row that says why, with the present balances.
SELECT id, status, reason, amount, debit_balance, debit_version,
	credit_balance, credit_version, replayed
FROM teller.transfer(211, 2, 1, 100, on_denial => 'return');
SELECT status, reason FROM teller.transfer(211, 1, 3, 1, on_denial => 'return');
SELECT status, reason
FROM teller.transfer(211, 2, 1, 1, expected_version => 0, on_denial => 'return');
-- A wrong call is an error all the same.
SELECT pg_temp.says($$SELECT teller.transfer(211, 2, 2, 1, on_denial => 'return')$$);
SELECT pg_temp.says($$SELECT teller.transfer(211, 2, 77, 1, on_denial => 'return')$$);
SELECT pg_temp.says($$SELECT teller.transfer(211, 2, 6, 1, on_denial => 'return')$$);
-- 'record' comes later; nonsense is refused.
SELECT pg_temp.says($$SELECT teller.transfer(211, 2, 1, 1, on_denial => 'record')$$);
SELECT pg_temp.says($$SELECT teller.transfer(211, 2, 1, 1, on_denial => 'maybe')$$);

-- A call that was denied or failed changed nothing.
SELECT pg_temp.books() AS before \gset
SELECT status, reason FROM teller.transfer(211, 2, 1, 100, key => 'denied', on_denial => 'return');
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 1, 100)');
SELECT pg_temp.says($$SELECT teller.transfer(211, 1, 3, 100, key => 'denied')$$);
SELECT pg_temp.books() = :'before';

-- expected_version is the debit account's: 0 on a new account works, the
-- present one works, one that is stale is TL002 with the present one.
SELECT teller.open_account(211, 8, 'USD', 'versioned', min_balance => NULL);
SELECT debit_version FROM teller.transfer(211, 8, 1, 1, expected_version => 0);
SELECT debit_version FROM teller.transfer(211, 8, 1, 1, expected_version => 1);
SELECT pg_temp.says('SELECT teller.transfer(211, 8, 1, 1, expected_version => 1)');
SELECT pg_temp.says('SELECT teller.transfer(211, 8, 1, 1, expected_version => 3)');
SELECT pg_temp.says('SELECT teller.transfer(211, 8, 1, 1, expected_version => 9223372036854775807)');
SELECT pg_temp.says('SELECT teller.transfer(211, 8, 1, 1, expected_version => -1)');
SELECT debit_version FROM teller.transfer(211, 8, 1, 1, expected_version => NULL);
-- It is tested before the funds.
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 1, 1000, expected_version => 0)');

-- effective_at is kept apart from the time of recording; metadata is kept.
SELECT id AS dated FROM teller.transfer(211, 1, 2, 1,
	effective_at => '2020-02-29 12:00:00+01', metadata => '{"invoice": 17}') \gset
SELECT effective_at = '2020-02-29 11:00:00Z',
	recorded_at BETWEEN now() - interval '1 minute' AND clock_timestamp(), metadata
FROM teller.journal WHERE ledger_id = 211 AND id = :'dated';
SELECT id AS dated FROM teller.transfer(211, 1, 2, 1,
	effective_at => '2999-01-01 00:00Z', metadata => '[]') \gset
SELECT effective_at = '2999-01-01 00:00Z', recorded_at < clock_timestamp(), metadata
FROM teller.journal WHERE ledger_id = 211 AND id = :'dated';

-- A frozen or closed account: TL005 by direction.
BEGIN;
UPDATE teller.account SET status = 'frozen_debit' WHERE ledger_id = 211 AND account_id = 2;
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 1, 1)');
SELECT status FROM teller.transfer(211, 1, 2, 1);
UPDATE teller.account SET status = 'frozen_credit' WHERE ledger_id = 211 AND account_id = 2;
SELECT status FROM teller.transfer(211, 2, 1, 1);
SELECT pg_temp.says('SELECT teller.transfer(211, 1, 2, 1)');
UPDATE teller.account SET status = 'frozen' WHERE ledger_id = 211 AND account_id = 2;
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 1, 1)');
SELECT pg_temp.says('SELECT teller.transfer(211, 1, 2, 1)');
UPDATE teller.account SET status = 'closed' WHERE ledger_id = 211 AND account_id = 2;
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 1, 1)');
SELECT pg_temp.says('SELECT teller.transfer(211, 1, 2, 1)');
SELECT status, reason FROM teller.transfer(211, 2, 1, 1, on_denial => 'return');
-- A freeze is told before the want of money.
SELECT pg_temp.says('SELECT teller.transfer(211, 2, 1, 1000)');
ROLLBACK;

-- Every call in one statement sees those before it.
SELECT count(*), min(debit_version), max(debit_version), min(credit_balance), max(credit_balance)
FROM generate_series(1, 100) AS i, LATERAL teller.transfer(211, 1, 7, i);
SELECT * FROM teller.balance(211, 7);
SELECT count(*) FILTER (WHERE status = 'posted'), count(*) FILTER (WHERE status = 'denied'),
	min(debit_balance)
FROM generate_series(1, 100) AS i,
	LATERAL teller.transfer(211, 7, 1, 500 + 0 * i, on_denial => 'return');

-- (f()).* is one call per column: with a key it is one effect.
SELECT version FROM teller.balance(211, 2);
SELECT status, amount, replayed
FROM (SELECT (teller.transfer(211, 1, 2, 5, key => 'star')).*) AS expanded;
SELECT version FROM teller.balance(211, 2);

-- Money can go round in one transaction; each step is recorded.
BEGIN;
SELECT credit_balance FROM teller.transfer(211, 2, 7, 10);
SELECT credit_balance FROM teller.transfer(211, 7, 4, 10);
SELECT credit_balance FROM teller.transfer(211, 4, 2, 10);
COMMIT;

-- What a savepoint takes back leaves no gap in the versions.
BEGIN;
SELECT debit_version AS version FROM teller.transfer(211, 2, 7, 1) \gset
SAVEPOINT s;
SELECT debit_version - :version FROM teller.transfer(211, 2, 7, 1);
SELECT debit_version - :version FROM teller.transfer(211, 2, 7, 1);
ROLLBACK TO s;
SELECT debit_version - :version FROM teller.transfer(211, 2, 7, 1);
COMMIT;
SELECT * FROM teller.verify(211);

-- A transaction that is rolled back was none.
SELECT pg_temp.books() AS before \gset
BEGIN;
SELECT status FROM teller.transfer(211, 1, 2, 1000, key => 'taken back');
ROLLBACK;
SELECT pg_temp.books() = :'before';

-- It works at every isolation level, in a prepared statement, in a function
-- and as a column of a table.
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT credit_balance AS balance FROM teller.transfer(211, 1, 2, 1) \gset
SELECT credit_balance - :balance FROM teller.transfer(211, 1, 2, 1);
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT credit_balance - :balance FROM teller.transfer(211, 1, 2, 1);
SELECT credit_balance - :balance FROM teller.transfer(211, 1, 2, 1);
COMMIT;
PREPARE pay(bigint, bigint, numeric) AS
	SELECT status, amount FROM teller.transfer(211, $1, $2, $3);
EXECUTE pay(1, 2, 1);
EXECUTE pay(2, 1, 2);
EXECUTE pay(1, 2, 3);
EXECUTE pay(2, 1, 4);
EXECUTE pay(1, 2, 5);
EXECUTE pay(2, 1, 6);
EXECUTE pay(1, 2, 7);
DEALLOCATE pay;
CREATE FUNCTION pg_temp.pay_all(accounts bigint[], amount numeric) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	account bigint;
	paid bigint := 0;
BEGIN
	FOREACH account IN ARRAY accounts LOOP
		BEGIN
			PERFORM FROM teller.transfer(211, account, 1, amount);
			paid := paid + 1;
		EXCEPTION WHEN SQLSTATE 'TL001' THEN
			NULL;
		END;
	END LOOP;
	RETURN paid;
END
$$;
SELECT pg_temp.pay_all(ARRAY[2, 4, 5, 7], 5);
CREATE TEMP TABLE wish (debit bigint, credit bigint, amount numeric);
INSERT INTO wish VALUES (1, 2, 3), (2, 3, 0.01), (1, 7, 8);
SELECT w.*, t.status FROM wish AS w, LATERAL teller.transfer(211, debit, credit, amount) AS t
ORDER BY debit, credit;

-- The clock does not go back: where an account was touched later than now, the
-- next row is recorded then.
BEGIN;
UPDATE teller.account SET last_at = '2100-01-01 00:00Z' WHERE ledger_id = 211 AND account_id = 7;
SELECT id AS late FROM teller.transfer(211, 1, 7, 1) \gset
SELECT recorded_at = '2100-01-01 00:00Z', effective_at = '2100-01-01 00:00Z'
FROM teller.journal WHERE ledger_id = 211 AND id = :'late';
SELECT id AS late FROM teller.transfer(211, 1, 2, 1) \gset
SELECT recorded_at = '2100-01-01 00:00Z'
FROM teller.journal WHERE ledger_id = 211 AND id = :'late';
SELECT * FROM teller.verify(211);
ROLLBACK;

-- The last version of all is refused, it does not wrap.
BEGIN;
UPDATE teller.account SET version = 9223372036854775807 WHERE ledger_id = 211 AND account_id = 2;
SELECT pg_temp.says('SELECT teller.transfer(211, 1, 2, 1)');
ROLLBACK;

-- Nothing is written in a read-only transaction; reading works.
BEGIN READ ONLY;
SELECT pg_temp.says('SELECT teller.transfer(211, 1, 2, 1)');
SELECT pg_temp.says($$SELECT teller.transfer(211, 1, 2, 5, key => 'star')$$);
SELECT count(*) FROM teller.balance(211, 2);
ROLLBACK;

-- Indexes that an administrator adds are kept: over columns, partial, over
-- expressions, and of other kinds.
BEGIN;
CREATE INDEX ON teller.account (ledger_id, posted) WHERE posted < 0;
CREATE INDEX ON teller.account USING brin (last_at);
CREATE INDEX ON teller.account USING hash (version);
CREATE INDEX ON teller.journal (ledger_id, effective_at DESC);
CREATE INDEX ON teller.journal (ledger_id, (metadata ->> 'order'));
CREATE INDEX ON teller.journal USING gin (metadata) WHERE metadata IS NOT NULL;
SELECT status FROM teller.transfer(211, 1, 2, 1, metadata => '{"order": "A17"}');
SELECT status FROM teller.transfer(211, 1, 7, 1);
SET LOCAL enable_seqscan = off;
SELECT count(*) FROM teller.journal WHERE ledger_id = 211 AND metadata ->> 'order' = 'A17';
SELECT count(*) FROM teller.journal WHERE metadata @> '{"order": "A17"}';
SELECT count(*) FROM teller.account WHERE ledger_id = 211 AND posted < 0;
SELECT a.account_id FROM teller.account AS a
WHERE a.version = (SELECT max(version) FROM teller.account WHERE ledger_id = 211) AND a.ledger_id = 211;
SELECT * FROM teller.verify(211);
ROLLBACK;
-- So are CHECK constraints and unique indexes.
BEGIN;
ALTER TABLE teller.account ADD CONSTRAINT regress_check CHECK (ledger_id <> 211 OR posted < 1e6);
SELECT status FROM teller.transfer(211, 1, 2, 1);
SELECT pg_temp.says('SELECT teller.transfer(211, 1, 2, 1000000)');
ROLLBACK;
BEGIN;
CREATE UNIQUE INDEX regress_once ON teller.journal (ledger_id, (metadata ->> 'order')) WHERE metadata ? 'order';
SELECT status FROM teller.transfer(211, 1, 2, 1, metadata => '{"order": "A17"}');
SELECT status FROM teller.transfer(211, 1, 2, 1, metadata => '{"order": "A18"}');
SELECT split_part(pg_temp.says($$SELECT teller.transfer(211, 1, 2, 1, metadata => '{"order": "A17"}')$$), E'\n', 1);
SELECT * FROM teller.verify(211);
ROLLBACK;
-- What cannot be honoured is refused, with what to undo.
CREATE FUNCTION pg_temp.ignore() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
SELECT change || E'\n\t' || pg_temp.says(change || '; SELECT teller.transfer(211, 1, 2, 1)')
FROM unnest(ARRAY[
	'CREATE TRIGGER t BEFORE UPDATE ON teller.account FOR EACH ROW EXECUTE FUNCTION pg_temp.ignore()',
	'CREATE RULE r AS ON INSERT TO teller.journal DO ALSO NOTHING',
	'ALTER TABLE teller.journal ENABLE ROW LEVEL SECURITY',
	'CREATE TABLE public.regress_child () INHERITS (teller.account)',
	'ALTER TABLE teller.account ADD COLUMN colour text',
	'ALTER TABLE teller.journal SET UNLOGGED',
	'ALTER TABLE teller.journal DROP CONSTRAINT journal_pkey',
	'ALTER TABLE teller.journal ADD EXCLUDE USING btree (id WITH =)',
	'ALTER TABLE teller.account RENAME TO konto',
	'ALTER TABLE teller.account SET SCHEMA public']) AS change;
-- All that is forgotten when it is undone.
SELECT status FROM teller.transfer(211, 1, 2, 1);

SELECT * FROM teller.verify();
