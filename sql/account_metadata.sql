-- set_metadata: what the application notes about an account.
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	hint text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', sqlstate || ': ' || sqlerrm, 'HINT: ' || nullif(hint, ''));
END
$$;
SELECT teller.create_ledger(352);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(352, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(352, 2, 'USD', 'alice', metadata => '{"tier": 1}'),
	teller.open_account(352, 3, 'USD', 'bob');
SELECT status FROM teller.transfer(352, 1, 2, 100, metadata => '{"tier": 1}');

-- It replaces what was there, and nothing else of the account changes.
CREATE TEMP TABLE before AS SELECT * FROM teller.account WHERE ledger_id = 352 AND account_id = 2;
SELECT teller.set_metadata(352, 2, '{"tags": ["a", "b"]}');
SELECT metadata FROM teller.account_balance WHERE ledger_id = 352 AND account_id = 2;
SELECT to_jsonb(b) - 'metadata' = to_jsonb(a) - 'metadata'
FROM before AS b JOIN teller.account AS a USING (ledger_id, account_id);
-- No version, no row of limit_change, and the journal says what it said.
SELECT version FROM teller.balance(352, 2);
SELECT count(*) FROM teller.limit_change WHERE ledger_id = 352;
SELECT metadata FROM teller.journal WHERE ledger_id = 352;
-- An array, an empty object, none; as large as it may be.
SELECT teller.set_metadata(352, 2, '[1, 2]');
SELECT metadata FROM teller.account_balance WHERE ledger_id = 352 AND account_id = 2;
SELECT teller.set_metadata(352, 2, '{}');
SELECT metadata FROM teller.account_balance WHERE ledger_id = 352 AND account_id = 2;
SELECT teller.set_metadata(352, 2, NULL);
SELECT metadata IS NULL FROM teller.account_balance WHERE ledger_id = 352 AND account_id = 2;
SELECT teller.set_metadata(352, 2, jsonb_build_object('a', (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 2000) AS n)));
SELECT length(metadata ->> 'a') FROM teller.account_balance WHERE ledger_id = 352 AND account_id = 2;
-- A movement carries it on.
SELECT debit_balance FROM teller.transfer(352, 2, 1, 1);
SELECT length(metadata ->> 'a') FROM teller.account_balance WHERE ledger_id = 352 AND account_id = 2;
-- Several calls in one statement, beside a movement: the last one counts.
SELECT count(teller.set_metadata(352, 2, jsonb_build_object('n', n))), count(teller.transfer(352, 2, 1, n))
FROM generate_series(1, 3) AS n;
SELECT metadata, posted, version FROM teller.account_balance WHERE ledger_id = 352 AND account_id = 2;
-- Frozen and closed accounts too.
SELECT teller.freeze_account(352, 2), teller.close_account(352, 3);
SELECT teller.set_metadata(352, 2, '{"why": "court order"}'), teller.set_metadata(352, 3, '{"why": "moved"}');
SELECT account_id, status, metadata FROM teller.account_balance WHERE ledger_id = 352 AND account_id IN (2, 3) ORDER BY 1;
SELECT teller.unfreeze_account(352, 2);

-- open_account compares with what is there now, as it does with limits.
SELECT teller.open_account(352, 2, 'USD', 'alice', metadata => '{"why": "court order"}');
SELECT pg_temp.says($$SELECT teller.open_account(352, 2, 'USD', 'alice', metadata => '{"tier": 1}')$$);

-- What it refuses.
SELECT md5(string_agg(concat(ctid, xmin, a), '|' ORDER BY ctid)) AS before FROM teller.account AS a WHERE ledger_id = 352 \gset
SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT teller.set_metadata(%s)', arguments))
FROM unnest(ARRAY['NULL, 2, ''{}''', '352, NULL, ''{}''', '352, 77, ''{}''', '359999, 2, ''{}''',
	'352, 2, ''1''', '352, 2, ''"x"''', '352, 2, ''null''',
	'352, 2, to_jsonb(ARRAY[repeat(''x'', 70000)])', '352, 2, (repeat(''['', 65) || repeat('']'', 65))::jsonb']) AS arguments;
BEGIN READ ONLY;
SELECT pg_temp.says('SELECT teller.set_metadata(352, 2, ''{}'')');
ROLLBACK;
-- It is for the owner of pg_teller, as limits are.
CREATE ROLE regress_account_metadata;
GRANT USAGE ON SCHEMA teller TO regress_account_metadata;
SELECT teller.grant_ledger(352, 'regress_account_metadata', 'operate');
SET ROLE regress_account_metadata;
SELECT pg_temp.says('SELECT teller.set_metadata(352, 2, ''{}'')');
SELECT pg_temp.says('SELECT teller.set_metadata(359999, 2, ''{}'')');
RESET ROLE;
SELECT teller.revoke_ledger(352, 'regress_account_metadata');
REVOKE USAGE ON SCHEMA teller FROM regress_account_metadata;
DROP ROLE regress_account_metadata;
SELECT md5(string_agg(concat(ctid, xmin, a), '|' ORDER BY ctid)) = :'before' FROM teller.account AS a WHERE ledger_id = 352;
-- What is rolled back was never there.
BEGIN;
SELECT teller.set_metadata(352, 2, '{"gone": true}');
ROLLBACK;
SELECT metadata FROM teller.account_balance WHERE ledger_id = 352 AND account_id = 2;

SELECT * FROM teller.verify();
