-- Rights on ledgers: grant_ledger, revoke_ledger, and what each level may do.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without ids.
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
	RETURN regexp_replace(concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, '')),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g');
END
$$;
-- A call and the first line of what it raises.
CREATE FUNCTION pg_temp.ask(query text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(query, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>')
		|| E'\n\t' || split_part(pg_temp.says(query), E'\n', 1)
$$;
CREATE ROLE regress_teller_reader;
CREATE ROLE regress_teller_poster;
CREATE ROLE regress_teller_operator;
CREATE ROLE regress_teller_nobody;
GRANT USAGE ON SCHEMA teller TO regress_teller_reader, regress_teller_poster,
	regress_teller_operator, regress_teller_nobody;
SELECT teller.create_ledger(101), teller.create_ledger(102);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(101, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(101, 2, 'USD', 'alice'),
	teller.open_account(102, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(102, 2, 'USD', 'secret');
SELECT status FROM teller.transfer(101, 1, 2, 100, key => 'fund');
SELECT status FROM teller.transfer(102, 1, 2, 100, key => 'fund');
SELECT id AS h FROM teller.hold(101, 2, 1, 10, '1 day') \gset
SELECT id AS h2 FROM teller.hold(102, 2, 1, 10, '1 day') \gset

-- A grant is stored once; the next one replaces the level.
SELECT teller.grant_ledger(101, 'regress_teller_reader', 'post');
SELECT teller.grant_ledger(101, 'regress_teller_reader', 'read');
SELECT teller.grant_ledger(101, 'regress_teller_reader', 'read');
SELECT teller.grant_ledger(101, 'regress_teller_poster', 'post'),
	teller.grant_ledger(101, 'regress_teller_operator', 'operate');
SELECT * FROM teller.ledger_grant WHERE ledger_id BETWEEN 101 AND 102 ORDER BY grantee::text COLLATE "C";

-- Each call of the ledger with its right, on ledger 101, one line per level.
CREATE TEMP TABLE call (place serial, query text);
INSERT INTO call (query) VALUES
	('SELECT teller.balance(101, 2)'),
	('SELECT teller.account_id(101, ''alice'')'),
	('SELECT teller.find(101, ''fund'')'),
	('SELECT teller.verify(101)'),
	('SELECT teller.lock_accounts(101, ARRAY[1, 2])'),
	('SELECT teller.transfer(101, 1, 2, 1)'),
	('SELECT teller.transfer(101, 1, 2, 100, key => ''fund'')'),
	('SELECT teller.hold(101, 2, 1, 1)'),
	(format('SELECT teller.capture(101, %L, 1, false)', :'h')),
	(format('SELECT teller.release(101, %L)', :'h')),
	('SELECT teller.create_ledger(103)'),
	('SELECT teller.create_asset(''ACCESS'', 2)'),
	('SELECT teller.open_account(101, 3, ''USD'')'),
	('SELECT teller.grant_ledger(101, ''regress_teller_nobody'', ''read'')'),
	('SELECT teller.revoke_ledger(101, ''regress_teller_reader'')'),
	('SELECT teller.verify()'),
	('SELECT teller.expire_due()');
GRANT SELECT ON call TO PUBLIC;

-- Without any right, everything of the ledger is refused.
BEGIN;
SET LOCAL ROLE regress_teller_nobody;
SELECT pg_temp.ask(query) FROM call ORDER BY place;
ROLLBACK;
-- read
BEGIN;
SET LOCAL ROLE regress_teller_reader;
SELECT pg_temp.ask(query) FROM call ORDER BY place;
ROLLBACK;
-- post
BEGIN;
SET LOCAL ROLE regress_teller_poster;
SELECT pg_temp.ask(query) FROM call ORDER BY place;
ROLLBACK;
-- operate is post, and what the operations add
BEGIN;
SET LOCAL ROLE regress_teller_operator;
SELECT pg_temp.ask(query) FROM call ORDER BY place;
ROLLBACK;
-- The owner may do all of it.
BEGIN;
SELECT pg_temp.ask(query) FROM call ORDER BY place;
ROLLBACK;

-- The hint names the call that would help.
SET ROLE regress_teller_nobody;
SELECT pg_temp.says('SELECT teller.balance(101, 2)');
SELECT pg_temp.says('SELECT teller.transfer(101, 1, 2, 1)');
SELECT pg_temp.says('SELECT teller.open_account(101, 3, ''USD'')');
RESET ROLE;

-- A ledger without a right and a ledger that does not exist look the same.
SET ROLE regress_teller_poster;
SELECT replace(pg_temp.ask(query), '102', '109') = pg_temp.ask(replace(query, '102', '109')),
	replace(pg_temp.says(query), '102', '109') = pg_temp.says(replace(query, '102', '109')),
	pg_temp.ask(query)
FROM (SELECT replace(query, '101', '102') AS query FROM call
	WHERE query LIKE '%101%' ORDER BY place) AS other;
RESET ROLE;
-- To the owner a missing ledger is TL009.
SELECT pg_temp.ask(query)
FROM unnest(ARRAY['SELECT teller.balance(109, 2)', 'SELECT teller.account_id(109, ''alice'')',
	'SELECT teller.verify(109)', 'SELECT teller.lock_accounts(109, ARRAY[1])',
	'SELECT teller.transfer(109, 1, 2, 1)', 'SELECT teller.hold(109, 1, 2, 1)',
	'SELECT teller.capture(109, ''00000000-0000-7000-8000-000000000000'')',
	'SELECT teller.release(109, ''00000000-0000-7000-8000-000000000000'')',
	'SELECT teller.open_account(109, 1, ''USD'')',
	'SELECT teller.grant_ledger(109, ''regress_teller_reader'', ''read'')',
	'SELECT teller.find(109, ''fund'')',
	'SELECT teller.lock_accounts(109, ''{}'')',
	'SELECT teller.revoke_ledger(109, ''regress_teller_reader'')']) AS query;

-- The id of a hold of ledger 102 is unknown on ledger 101.
SET ROLE regress_teller_poster;
SELECT pg_temp.says(format('SELECT teller.capture(101, %L)', :'h2'));
SELECT pg_temp.says(format('SELECT teller.release(101, %L)', :'h2'));
SELECT pg_temp.says(format('SELECT teller.release(102, %L)', :'h2'));
RESET ROLE;

-- The views show what the current user may read, and nothing else.
CREATE VIEW pg_temp.seen AS
	SELECT (SELECT array_agg(DISTINCT ledger_id) FROM teller.movement) AS movement,
		(SELECT array_agg(DISTINCT ledger_id) FROM teller.posting) AS posting,
		(SELECT array_agg(DISTINCT ledger_id) FROM teller.account_balance) AS account_balance,
		(SELECT array_agg(DISTINCT ledger_id) FROM teller.open_hold) AS open_hold;
GRANT SELECT ON pg_temp.seen TO PUBLIC;
SET ROLE regress_teller_reader;
SELECT * FROM pg_temp.seen;
SELECT posted, available FROM teller.account_balance ORDER BY account_id;
SET ROLE regress_teller_nobody;
SELECT * FROM pg_temp.seen;
RESET ROLE;
SELECT movement @> ARRAY[101, 102]::bigint[], posting @> ARRAY[101, 102]::bigint[],
	account_balance @> ARRAY[101, 102]::bigint[], open_hold @> ARRAY[101, 102]::bigint[]
FROM pg_temp.seen;

-- A revoke works at once, in a running transaction too; revoking nothing is a
-- no-op.
BEGIN;
SET LOCAL ROLE regress_teller_reader;
SELECT posted FROM teller.balance(101, 2);
RESET ROLE;
SELECT teller.revoke_ledger(101, 'regress_teller_reader');
SELECT teller.revoke_ledger(101, 'regress_teller_reader');
SET LOCAL ROLE regress_teller_reader;
SELECT pg_temp.says('SELECT teller.balance(101, 2)');
SELECT * FROM pg_temp.seen;
ROLLBACK;

-- Members of a grantee have its right where they inherit it; others after
-- SET ROLE.
CREATE ROLE regress_teller_team;
CREATE ROLE regress_teller_member IN ROLE regress_teller_team;
CREATE ROLE regress_teller_stranger NOINHERIT IN ROLE regress_teller_team;
GRANT USAGE ON SCHEMA teller TO regress_teller_team, regress_teller_stranger;
SELECT teller.grant_ledger(102, 'regress_teller_team', 'read');
SET ROLE regress_teller_member;
SELECT posted FROM teller.balance(102, 2);
SELECT pg_temp.says('SELECT teller.transfer(102, 1, 2, 1)');
SELECT * FROM pg_temp.seen;
SET ROLE regress_teller_stranger;
SELECT pg_temp.says('SELECT teller.balance(102, 2)');
RESET ROLE;
SET SESSION AUTHORIZATION regress_teller_stranger;
SET ROLE regress_teller_team;
SELECT posted FROM teller.balance(102, 2);
RESET SESSION AUTHORIZATION;
-- The highest of several rights counts.
SELECT teller.grant_ledger(102, 'regress_teller_member', 'post');
SET ROLE regress_teller_member;
SELECT status FROM teller.transfer(102, 1, 2, 1);
RESET ROLE;

-- A member of the extension's owner has every right.
DO $$
BEGIN
	EXECUTE format('GRANT %s TO regress_teller_nobody',
		(SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'teller'));
END
$$;
SET ROLE regress_teller_nobody;
SELECT teller.create_ledger(103);
SELECT posted FROM teller.balance(102, 2);
SELECT pg_temp.says('SELECT teller.balance(109, 2)');
SELECT * FROM teller.verify();
RESET ROLE;
DO $$
BEGIN
	EXECUTE format('REVOKE %s FROM regress_teller_nobody',
		(SELECT nspowner::regrole FROM pg_namespace WHERE nspname = 'teller'));
END
$$;

-- In a SECURITY DEFINER function the definer's right counts, the caller's does
-- not.
CREATE FUNCTION public.regress_teller_deposit(amount numeric) RETURNS text
	SECURITY DEFINER SET search_path = pg_catalog, pg_temp
	LANGUAGE sql AS $$SELECT status FROM teller.transfer(101, 1, 2, amount)$$;
ALTER FUNCTION public.regress_teller_deposit OWNER TO regress_teller_poster;
SET ROLE regress_teller_nobody;
SELECT public.regress_teller_deposit(5);
SELECT pg_temp.says('SELECT teller.transfer(101, 1, 2, 5)');
RESET ROLE;
ALTER FUNCTION public.regress_teller_deposit OWNER TO regress_teller_reader;
SELECT split_part(pg_temp.says('SELECT public.regress_teller_deposit(5)'), E'\n', 1);
DROP FUNCTION public.regress_teller_deposit;

-- A view of the application runs the functions as who asks.
CREATE VIEW public.regress_teller_alice AS SELECT * FROM teller.balance(101, 2);
GRANT SELECT ON public.regress_teller_alice TO PUBLIC;
SET ROLE regress_teller_nobody;
SELECT split_part(pg_temp.says('SELECT * FROM public.regress_teller_alice'), E'\n', 1);
SET ROLE regress_teller_reader;
SELECT posted FROM public.regress_teller_alice;
RESET ROLE;
DROP VIEW public.regress_teller_alice;

-- A prepared statement asks anew for each role and each run.
SET ROLE regress_teller_reader;
PREPARE look AS SELECT posted FROM teller.balance(101, 2);
EXECUTE look;
PREPARE seen AS SELECT count(*) > 0 FROM teller.movement WHERE ledger_id = 101;
EXECUTE seen;
SET ROLE regress_teller_nobody;
EXECUTE seen;
SELECT split_part(pg_temp.says('EXECUTE look'), E'\n', 1);
RESET ROLE;
DEALLOCATE ALL;

-- The arguments of a grant.
SELECT pg_temp.ask('SELECT teller.' || call)
FROM unnest(ARRAY['grant_ledger(NULL, ''regress_teller_reader'', ''read'')',
	'grant_ledger(101, NULL, ''read'')', 'grant_ledger(101, ''regress_teller_reader'', NULL)',
	'grant_ledger(101, ''regress_teller_reader'', ''write'')',
	'grant_ledger(101, ''regress_teller_reader'', '''')',
	'grant_ledger(101, ''regress_teller_reader'', ''READ'')',
	'grant_ledger(101, 0, ''read'')', 'grant_ledger(101, ''regress_teller_missing'', ''read'')',
	'revoke_ledger(NULL, ''regress_teller_reader'')', 'revoke_ledger(101, NULL)']) AS call;

-- A role that is dropped with its grant in place hurts nobody.
CREATE ROLE regress_teller_brief;
SELECT teller.grant_ledger(101, 'regress_teller_brief', 'read');
SELECT 'regress_teller_brief'::regrole::oid AS brief \gset
DROP ROLE regress_teller_brief;
SET ROLE regress_teller_reader;
SELECT posted FROM teller.balance(101, 2);
RESET ROLE;
SELECT teller.revoke_ledger(101, :brief);

SELECT count(teller.revoke_ledger(ledger_id, grantee)) FROM teller.ledger_grant
WHERE ledger_id BETWEEN 101 AND 103;
DROP OWNED BY regress_teller_reader, regress_teller_poster, regress_teller_operator,
	regress_teller_nobody, regress_teller_team, regress_teller_member, regress_teller_stranger;
DROP ROLE regress_teller_reader, regress_teller_poster, regress_teller_operator,
	regress_teller_nobody, regress_teller_member, regress_teller_stranger, regress_teller_team;

SELECT * FROM teller.verify();
