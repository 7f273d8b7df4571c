-- Keys: one effect for each key, and the same answer to every repeat.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without ids and times.
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
	RETURN regexp_replace(regexp_replace(concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
		'\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+', '<time>', 'g');
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
			' FROM teller.%I AS t WHERE ledger_id = 261', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(261), teller.create_ledger(262);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(261, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(261, 2, 'USD', 'alice'),
	teller.open_account(261, 3, 'USD', 'bob'),
	teller.open_account(262, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(262, 2, 'USD', 'alice');

-- The first call has the effect, a repeat gives the same row and replayed.
SELECT id, status, reason, amount, debit_balance, debit_version, credit_balance,
	credit_version, replayed
FROM teller.transfer(261, 1, 2, 100, key => 'fund', metadata => '{"b": 1, "a": [2]}') \gset first_
SELECT :'first_replayed';
SELECT pg_temp.books() AS before \gset
SELECT id = :'first_id', status = :'first_status', reason IS NULL, amount = :'first_amount',
	debit_balance = :first_debit_balance, debit_version = :first_debit_version,
	credit_balance = :first_credit_balance, credit_version = :first_credit_version, replayed
FROM teller.transfer(261, 1, 2, 100, key => 'fund', metadata => '{"b": 1, "a": [2]}');
SELECT amount, debit_balance, credit_balance, replayed
FROM teller.transfer(261, 1, 2, 100.00, key => 'fund', metadata => '{"a": [2], "b": 1}');
SELECT amount, replayed
FROM teller.transfer(261, 1, 2, 1e2, key => 'fund', metadata => '{"a": [2], "b": 1}', on_denial => 'return');
-- A replay writes nothing at all.
SELECT pg_temp.books() = :'before';

-- It is the answer of then, whatever has become of the account.
SELECT status FROM teller.transfer(261, 2, 3, 100, key => 'all');
SELECT debit_balance, credit_balance, replayed
FROM teller.transfer(261, 1, 2, 100, key => 'fund', metadata => '{"a": [2], "b": 1}');
SELECT debit_balance, replayed FROM teller.transfer(261, 2, 3, 100, key => 'all');
BEGIN;
UPDATE teller.account SET status = 'closed' WHERE ledger_id = 261 AND account_id IN (1, 2);
SELECT debit_balance, replayed FROM teller.transfer(261, 2, 3, 100, key => 'all');
ROLLBACK;

-- The answer comes before the version is looked at.
SELECT debit_version FROM teller.transfer(261, 3, 2, 10, key => 'versioned', expected_version => 1);
SELECT debit_version, replayed FROM teller.transfer(261, 3, 2, 10, key => 'versioned', expected_version => 1);

-- The same key with any other argument is TL003 and names it; with another
-- function it names that.
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
FROM unnest(ARRAY[
	'transfer(261, 3, 2, 100, ''fund'', metadata => ''{"a": [2], "b": 1}'')',
	'transfer(261, 1, 3, 100, ''fund'', metadata => ''{"a": [2], "b": 1}'')',
	'transfer(261, 1, 2, 100.01, ''fund'', metadata => ''{"a": [2], "b": 1}'')',
	'transfer(261, 1, 2, 100, ''fund'', 0, metadata => ''{"a": [2], "b": 1}'')',
	'transfer(261, 1, 2, 100, ''fund'', effective_at => ''2020-01-01 00:00Z'', metadata => ''{"a": [2], "b": 1}'')',
	'transfer(261, 1, 2, 100, ''fund'', metadata => ''{"a": [2]}'')',
	'transfer(261, 1, 2, 100, ''fund'')',
	'hold(261, 1, 2, 100, NULL, ''fund'')',
	'capture(261, ''00000000-0000-7000-8000-000000000000'', NULL, true, ''fund'')',
	'release(261, ''00000000-0000-7000-8000-000000000000'', ''fund'')']) AS call;

-- Times are compared as times, not as they are written.
SET TimeZone = 'UTC';
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => 'dated', effective_at => '2020-06-01 12:00+02');
SET TimeZone = 'Asia/Tokyo';
SET DateStyle = 'German';
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => 'dated', effective_at => '2020-06-01 10:00Z');
SELECT pg_temp.says($$SELECT teller.transfer(261, 1, 2, 1, key => 'dated', effective_at => '2020-06-01 10:00:00.000001Z')$$);
RESET TimeZone;
RESET DateStyle;

-- Keys are the ledger's own.
SELECT replayed FROM teller.transfer(262, 1, 2, 7, key => 'fund');
SELECT replayed, amount FROM teller.transfer(262, 1, 2, 7, key => 'fund');

-- Keys that differ by case or by a trailing blank are different.
SELECT count(*) FILTER (WHERE NOT replayed), count(DISTINCT id)
FROM unnest(ARRAY['Fund', 'FUND', 'fund ', ' fund', 'fünd']) AS k,
	LATERAL teller.transfer(261, 1, 2, 1, key => k);
SELECT count(*) FILTER (WHERE replayed), count(DISTINCT id)
FROM unnest(ARRAY['Fund', 'FUND', 'fund ', ' fund', 'fünd']) AS k,
	LATERAL teller.transfer(261, 1, 2, 1, key => k);

-- A key has 1 to 255 bytes and no control character.
SELECT what || E'\n\t' || pg_temp.says(format('SELECT teller.transfer(261, 1, 2, 1, key => %s)', key))
FROM (VALUES ('empty', ''''''), ('256 bytes', 'repeat(''k'', 256)'),
	('10 MB', 'repeat(''k'', 10000000)'), ('128 times two bytes', 'repeat(''ü'', 128)'),
	('a newline', 'E''two\nlines'''), ('NUL', 'E''a\x00b''')) AS bad (what, key);
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => repeat('k', 255));
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => repeat('k', 255));
-- Quotes in it are part of it.
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => '''; DROP TABLE teller.key; --');
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => '''; DROP TABLE teller.key; --');

-- Without a key there is no memory.
SELECT a.id <> b.id FROM teller.transfer(261, 1, 2, 1) AS a, teller.transfer(261, 1, 2, 1) AS b;

-- A call that raised, was denied, or was rolled back leaves the key free.
SELECT pg_temp.says($$SELECT teller.transfer(261, 2, 1, 1000, key => 'free')$$);
SELECT status FROM teller.transfer(261, 2, 1, 1000, key => 'free', on_denial => 'return');
BEGIN;
SELECT status, replayed FROM teller.transfer(261, 1, 2, 999, key => 'free');
ROLLBACK;
BEGIN;
SAVEPOINT s;
SELECT status, replayed FROM teller.transfer(261, 1, 2, 998, key => 'free');
ROLLBACK TO s;
SELECT count(*) FROM teller.find(261, 'free');
COMMIT;
SELECT status, replayed FROM teller.hold(261, 1, 2, 1, key => 'free');

-- Twice in one transaction, at every level, and in one statement: one effect.
BEGIN;
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => 'twice');
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => 'twice');
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => 'twice');
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => 'twice at RR');
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => 'twice at RR');
COMMIT;
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => 'twice at SSI');
SELECT replayed FROM teller.transfer(261, 1, 2, 1, key => 'twice at SSI');
COMMIT;
SELECT count(*), count(*) FILTER (WHERE replayed), count(DISTINCT id)
FROM generate_series(1, 10) AS i,
	LATERAL teller.transfer(261, 1, 2, 1 + 0 * i, key => 'ten times');
SELECT status, amount, replayed
FROM (SELECT (teller.transfer(261, 1, 2, 5, key => 'star')).*) AS expanded;
SELECT count(*) FROM teller.journal WHERE ledger_id = 261
	AND id = (SELECT id FROM teller.key WHERE ledger_id = 261 AND key = 'star');

-- hold, capture and release are keyed too; a replay changes nothing.
SELECT id AS h, status, expires_at, available, debit_version
FROM teller.hold(261, 2, 3, 20, '1 hour', key => 'h') \gset
SELECT pg_temp.books() AS before \gset
SELECT id = :'h', status, expires_at = :'expires_at', available = :available,
	debit_version = :debit_version, replayed
FROM teller.hold(261, 2, 3, 20, '60 min', key => 'h');
SELECT pg_temp.books() = :'before';
SELECT pg_temp.says($$SELECT teller.hold(261, 2, 3, 20, '61 min', key => 'h')$$);
SELECT pg_temp.says($$SELECT teller.hold(261, 2, 3, 20, NULL, key => 'h')$$);
SELECT pg_temp.says($$SELECT teller.hold(261, 2, 3, 20, '1 hour', key => 'h', metadata => '{}')$$);
SELECT pg_temp.says($$SELECT teller.hold(261, 2, 3, 20, '1 hour', key => 'h', expected_version => 3)$$);
-- A hold without ttl replays though the default has changed.
SELECT replayed FROM teller.hold(261, 2, 3, 1, key => 'default ttl');
SET teller.hold_ttl = '1h';
SELECT replayed, expires_at > clock_timestamp() + interval '6 days' FROM teller.hold(261, 2, 3, 1, key => 'default ttl');
RESET teller.hold_ttl;
SELECT id AS captured, amount, debit_balance FROM teller.capture(261, :'h', 5, final => false, key => 'c') \gset
SELECT pg_temp.books() AS before \gset
SELECT id = :'captured', amount, debit_balance = :debit_balance, replayed
FROM teller.capture(261, :'h', 5.00, final => false, key => 'c');
SELECT pg_temp.books() = :'before';
SELECT pg_temp.says(format($$SELECT teller.capture(261, %L, 5, true, 'c')$$, :'h'));
SELECT pg_temp.says(format($$SELECT teller.capture(261, %L, 6, false, 'c')$$, :'h'));
SELECT pg_temp.says(format($$SELECT teller.capture(261, %L, NULL, false, 'c')$$, :'h'));
SELECT pg_temp.says($$SELECT teller.capture(261, '00000000-0000-7000-8000-000000000000', 5, false, 'c')$$);
-- Without the key it is another capture.
SELECT amount, replayed FROM teller.capture(261, :'h', 5, final => false);
SELECT id = :'h', status, available AS available, replayed FROM teller.release(261, :'h', key => 'r');
SELECT pg_temp.books() AS before \gset
SELECT id = :'h', status, expires_at IS NOT NULL, replayed FROM teller.release(261, :'h', key => 'r');
SELECT pg_temp.books() = :'before';
-- The hold is over, but its placing, its capture and its release still replay.
SELECT status, replayed FROM teller.hold(261, 2, 3, 20, '1 hour', key => 'h');
SELECT status, replayed FROM teller.capture(261, :'h', 5, final => false, key => 'c');
SELECT pg_temp.says(format($$SELECT teller.release(261, %L, 'r2')$$, :'h'));

-- find says what became of a key.
SELECT function, id = :'first_id', status, reason, result - 'id',
	created_at BETWEEN now() - interval '10 minutes' AND clock_timestamp()
FROM teller.find(261, 'fund');
SELECT function, id = :'h', status, reason, result - ARRAY['id', 'expires_at'] FROM teller.find(261, 'h');
SELECT function, id = :'captured', status, reason, result - 'id' FROM teller.find(261, 'c');
SELECT function, id = :'h', status, reason, result - ARRAY['id', 'expires_at'] FROM teller.find(261, 'r');
-- No row: it never happened.
SELECT count(*) FROM teller.find(261, 'never');
SELECT count(*) FROM teller.find(262, 'all');
SELECT pg_temp.says($$SELECT * FROM teller.find(261, '')$$);
SELECT pg_temp.says($$SELECT * FROM teller.find(NULL, 'fund')$$);
SELECT pg_temp.says($$SELECT * FROM teller.find(261, NULL)$$);
-- It works in a read-only transaction.
BEGIN READ ONLY;
SELECT status FROM teller.find(261, 'fund');
COMMIT;

-- What was asked is stored beside the answer, and hashes to the fingerprint.
SELECT function, arguments, fingerprint = sha256(convert_to(function || ' ' || arguments::text, getdatabaseencoding()))
FROM teller.key WHERE ledger_id = 261 AND key IN ('fund', 'versioned', 'dated', 'h', 'default ttl') ORDER BY key;

-- Amounts far apart in form and size are told apart, or not.
SELECT replayed FROM teller.transfer(261, 1, 2, 999999999999999999999999999999.99, key => 'large');
SELECT replayed FROM teller.transfer(261, 1, 2, 999999999999999999999999999999.990000000000000, key => 'large');
SELECT pg_temp.says($$SELECT teller.transfer(261, 1, 2, 999999999999999999999999999999.98, key => 'large')$$);
-- An amount that is refused anyway finds the mismatch first where it has the
-- form of an amount.
SELECT pg_temp.says($$SELECT teller.transfer(261, 1, 2, 100.001, key => 'large')$$);
SELECT pg_temp.says($$SELECT teller.transfer(261, 1, 2, 0, key => 'large')$$);

SELECT * FROM teller.verify();
