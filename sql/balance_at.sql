-- balance_at finds the version of a moment, however versions are spread in time.
SET client_min_messages = warning;
SELECT teller.create_ledger(451), teller.create_asset('ATX', 0);
SELECT teller.open_account(451, 1, 'ATX', min_balance => NULL), teller.open_account(451, 2, 'ATX', min_balance => NULL),
	teller.open_account(451, 3, 'ATX', min_balance => NULL);

-- Account 1 pays and is paid, account 2 is only paid.
SELECT count(t.id) FROM generate_series(1, 100) n,
	LATERAL teller.transfer(451, CASE WHEN n % 7 < 4 THEN 1 ELSE 3 END, CASE WHEN n % 7 < 3 THEN 2 WHEN n % 7 = 3 THEN 3 ELSE 1 END, n) t;

-- The same rows at other times, in their order: spread says how long after the
-- first one the row is recorded, of which so much is the part of all rows.
CREATE FUNCTION pg_temp.wrong(spread text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
	wrong bigint;
BEGIN
	EXECUTE format('UPDATE teller.journal j SET recorded_at = o.at, effective_at = o.at
		FROM (SELECT id, ''2026-01-01''::timestamptz + (%s) * interval ''100 days'' AS at
			FROM (SELECT id, (row_number() OVER (ORDER BY amount))::float8 / count(*) OVER () AS part
				FROM teller.journal WHERE ledger_id = 451) n) o
		WHERE j.ledger_id = 451 AND j.id = o.id', spread);
	-- of every version: at its time, just before, and an hour after
	SELECT count(*) INTO wrong
	FROM (SELECT DISTINCT p.account_id, p.recorded_at + d * interval '1 microsecond' AS at
			FROM teller.posting p, unnest(ARRAY[-1, 0, 3600000000]) d
			WHERE p.ledger_id = 451 AND p.account_id < 3) m
	WHERE teller.balance_at(451, m.account_id, m.at) IS DISTINCT FROM coalesce(
		(SELECT p.posted FROM teller.posting p
			WHERE p.ledger_id = 451 AND p.account_id = m.account_id AND p.recorded_at <= m.at
			ORDER BY p.version DESC LIMIT 1), 0);
	RETURN wrong;
END $$;
BEGIN;
SELECT spread, pg_temp.wrong(spread) AS wrong FROM unnest(ARRAY[
	'part',									-- evenly
	'part ^ 20', '1 - (1 - part) ^ 20',		-- ever more often, ever more seldom
	'floor(part * 3) / 3',					-- three times in all
	'0',									-- all at once
	'CASE WHEN part < 0.99 THEN part / 1e9 ELSE part END',	-- a burst, then nothing for long
	'CASE WHEN part < 0.01 THEN part ELSE 1 + part / 1e9 END',
	'(part + 0.1 * sin(part * 40)) * 0.5 + 0.5 * part ^ 3 + part * 2']) AS spread;
ROLLBACK;

SELECT teller.balance_at(451, 1, '-infinity'), teller.balance_at(451, 1, 'infinity') = posted AS now
	FROM teller.balance(451, 1);
SELECT * FROM teller.verify(451);
