-- extend_hold and adjust_hold; several captures.
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
			' FROM teller.%I AS t WHERE ledger_id = 326', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(326);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(326, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(326, 2, 'USD', 'alice'),
	teller.open_account(326, 3, 'USD', 'shop'),
	teller.open_account(326, 4, 'USD', 'purse', max_balance => 50);
SELECT status FROM teller.transfer(326, 1, 2, 100);

-- ---- extend ------------------------------------------------------------------

SELECT id AS h, expires_at AS was, debit_version AS version FROM teller.hold(326, 2, 3, 40, '1 hour') \gset
SELECT id = :'h', status, reason, expires_at > :'was', available, debit_version - :version, replayed
FROM teller.extend_hold(326, :'h', '2 hours');
-- The deadline is the reading and ttl; nothing else of the hold has changed.
SELECT h.expires_at = j.recorded_at + interval '2 hours', h.amount, h.captured, h.released, h.state, h.ended_at
FROM teller.hold AS h JOIN teller.journal AS j ON j.ledger_id = h.ledger_id AND j.hold_id = h.hold_id AND j.kind = 'extend'
WHERE h.ledger_id = 326 AND h.hold_id = :'h';
-- A row of the journal with the old and the new one; it moves nothing.
SELECT j.kind, j.debit_account, j.credit_account, j.amount, j.debit_version - :version, j.debit_posted, j.debit_pending,
	j.credit_version, j.credit_posted, j.credit_pending, j.ends_hold,
	(j.metadata ->> 'old_expires_at')::timestamptz = :'was',
	(j.metadata ->> 'new_expires_at')::timestamptz = h.expires_at,
	j.metadata - ARRAY['old_expires_at', 'new_expires_at']
FROM teller.hold AS h JOIN teller.journal AS j ON j.ledger_id = h.ledger_id AND j.hold_id = h.hold_id AND j.kind = 'extend'
WHERE h.ledger_id = 326 AND h.hold_id = :'h';
SELECT * FROM teller.balance(326, 2);
-- Only later.
SELECT pg_temp.books() AS before \gset
SELECT ttl || E'\n\t' || pg_temp.says(format('SELECT teller.extend_hold(326, %L, %L)', :'h', ttl))
FROM unnest(ARRAY['119 minutes', '1 second', '0', '-1 second', '1000 years', '101 years',
	'2147483647 days', '-178000000 years']) AS ttl;
SELECT pg_temp.books() = :'before';
-- Again and again; up to a hundred years.
SELECT expires_at > clock_timestamp() + interval '2 days 23 hours' FROM teller.extend_hold(326, :'h', '3 days');
BEGIN;
SELECT expires_at > clock_timestamp() + interval '99 years 10 months' FROM teller.extend_hold(326, :'h', '99 years 11 months');
ROLLBACK;
-- A hold that is extended is captured after its first deadline; a hold that is
-- due is not extended any more.
SELECT id AS due FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
UPDATE teller.hold SET expires_at = clock_timestamp() - interval '1 second' WHERE ledger_id = 326 AND hold_id = :'due';
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says(format('SELECT teller.extend_hold(326, %L, ''1 hour'')', :'due'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 5)', :'due'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 10)', :'due'));
SELECT status, reason FROM teller.adjust_hold(326, :'due', 5, on_denial => 'return');
SELECT pg_temp.books() = :'before';
SELECT teller.expire_due() >= 0;
SELECT pg_temp.says(format('SELECT teller.extend_hold(326, %L, ''1 hour'')', :'due'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 5)', :'due'));
-- At the very instant: the reading is held at the deadline by last_at.
BEGIN;
SELECT id AS due, expires_at AS deadline FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
UPDATE teller.account SET last_at = :'deadline'::timestamptz - interval '1 microsecond' WHERE ledger_id = 326 AND account_id = 2;
SAVEPOINT s;
SELECT status FROM teller.extend_hold(326, :'due', '1 hour');
ROLLBACK TO s;
UPDATE teller.account SET last_at = :'deadline' WHERE ledger_id = 326 AND account_id = 2;
SELECT pg_temp.says(format('SELECT teller.extend_hold(326, %L, ''1 hour'')', :'due'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 5)', :'due'));
SELECT pg_temp.says(format('SELECT teller.capture(326, %L, 5)', :'due'));
ROLLBACK;
-- The clock does not go back: the new deadline counts from last_at, and the
-- later one is compared with that.
BEGIN;
SELECT id AS h2 FROM teller.hold(326, 2, 3, 1, '10 hours') \gset
UPDATE teller.account SET last_at = clock_timestamp() + interval '5 hours' WHERE ledger_id = 326 AND account_id = 2;
SELECT expires_at > clock_timestamp() + interval '10 hours 59 minutes' FROM teller.extend_hold(326, :'h2', '6 hours');
SELECT * FROM teller.verify(326);
ROLLBACK;

-- What is over, or belongs to an operation.
SELECT id AS h2 FROM teller.hold(326, 2, 3, 1, '1 hour') \gset
SELECT amount FROM teller.capture(326, :'h2');
SELECT pg_temp.says(format('SELECT teller.extend_hold(326, %L, ''2 hours'')', :'h2'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 2)', :'h2'));
SELECT id AS h2 FROM teller.hold(326, 2, 3, 1, '1 hour') \gset
SELECT status FROM teller.release(326, :'h2');
SELECT pg_temp.says(format('SELECT teller.extend_hold(326, %L, ''2 hours'')', :'h2'));
SELECT status, reason FROM teller.adjust_hold(326, :'h2', 2, on_denial => 'return');
BEGIN;
UPDATE teller.hold SET expires_at = NULL, operation_id = '00000000-0000-7000-8000-000000000326'
WHERE ledger_id = 326 AND hold_id = :'h';
SELECT pg_temp.says(format('SELECT teller.extend_hold(326, %L, ''2 hours'')', :'h'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 2)', :'h'));
ROLLBACK;
-- A frozen account does not keep a hold from being extended.
BEGIN;
UPDATE teller.account SET status = 'frozen' WHERE ledger_id = 326 AND account_id IN (2, 3);
SELECT status FROM teller.extend_hold(326, :'h', '5 days');
ROLLBACK;

-- ---- adjust --------------------------------------------------------------------

SELECT id AS h, expires_at AS was, debit_version AS version FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
SELECT available FROM teller.balance(326, 2);
-- Larger, smaller, to the cent.
SELECT id = :'h', status, reason, expires_at = :'was', available, debit_version - :version, replayed
FROM teller.adjust_hold(326, :'h', 25);
SELECT status, available FROM teller.adjust_hold(326, :'h', 5.5);
SELECT kind, amount, debit_version - :version AS version, debit_posted, debit_pending, credit_version, metadata, ends_hold
FROM teller.journal WHERE ledger_id = 326 AND hold_id = :'h' ORDER BY debit_version;
SELECT amount, captured, released, state FROM teller.hold WHERE ledger_id = 326 AND hold_id = :'h';
-- The same amount changes nothing, and is no row.
SELECT count(*) AS rows FROM teller.journal WHERE ledger_id = 326 \gset
SELECT status, available, debit_version - :version FROM teller.adjust_hold(326, :'h', 5.50);
SELECT count(*) - :rows FROM teller.journal WHERE ledger_id = 326;
-- As much as there is, and no more.
SELECT posted, pending_debit, available FROM teller.balance(326, 2);
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 59.01)', :'h'));
SELECT id = :'h', status, reason, expires_at = :'was', available, replayed FROM teller.adjust_hold(326, :'h', 59.01, on_denial => 'return');
SELECT pg_temp.books() = :'before';
SELECT available FROM teller.adjust_hold(326, :'h', 59);
SELECT pg_temp.says('SELECT teller.transfer(326, 2, 3, 0.01)');
SELECT available FROM teller.adjust_hold(326, :'h', 30);
-- At least what is captured.
SELECT amount FROM teller.capture(326, :'h', 12, final => false);
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 11.99)', :'h'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 11.99, on_denial => ''return'')', :'h'));
SELECT status, available FROM teller.adjust_hold(326, :'h', 12.01);
SELECT amount FROM teller.capture(326, :'h', 0.01, final => false);
SELECT state FROM teller.hold WHERE ledger_id = 326 AND hold_id = :'h';
-- Exactly what is captured: nothing remains, and the hold ends as captured.
SELECT id AS h FROM teller.hold(326, 2, 3, 20, '1 hour') \gset
SELECT amount FROM teller.capture(326, :'h', 5, final => false);
SELECT id = :'h', status, available FROM teller.adjust_hold(326, :'h', 5);
SELECT amount, captured, released, state, ended_at IS NOT NULL FROM teller.hold WHERE ledger_id = 326 AND hold_id = :'h';
SELECT kind, amount, debit_pending, ends_hold FROM teller.journal WHERE ledger_id = 326 AND hold_id = :'h' ORDER BY debit_version;
SELECT pg_temp.says(format('SELECT teller.capture(326, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.release(326, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 6)', :'h'));
-- More after a capture: the new amount is the total.
SELECT id AS h FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
SELECT amount FROM teller.capture(326, :'h', 6, final => false);
SELECT available FROM teller.adjust_hold(326, :'h', 16);
SELECT amount FROM teller.capture(326, :'h');
-- An amount as everywhere.
SELECT id AS h FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
SELECT amount || E'\n\t' || pg_temp.says(format('SELECT teller.adjust_hold(326, %L, %L)', :'h', amount))
FROM unnest(ARRAY['0', '-1', 'NaN', 'Infinity', '-Infinity', '1.005', '1e-100', '1e36', '1e1000']) AS amount;
SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT teller.' || arguments, :'h'))
FROM unnest(ARRAY['extend_hold(NULL, %L, ''1 hour'')', 'extend_hold(326, NULL, ''1 hour'')', 'extend_hold(326, %L, NULL)',
	'adjust_hold(NULL, %L, 1)', 'adjust_hold(326, NULL, 1)', 'adjust_hold(326, %L, NULL)',
	'adjust_hold(326, %L, 1, on_denial => NULL)', 'adjust_hold(326, %L, 1, on_denial => ''never'')',
	'adjust_hold(326, %L, 1, on_denial => ''record'')', 'extend_hold(329, %L, ''1 hour'')', 'adjust_hold(329, %L, 1)',
	'extend_hold(326, ''00000000-0000-7000-8000-000000000000'', ''1 hour'')',
	'adjust_hold(326, ''00000000-0000-7000-8000-000000000000'', 1)',
	'extend_hold(326, %L, ''1 hour'', key => '''')', 'adjust_hold(326, %L, 1, key => '''')']) AS arguments;
-- Frozen: smaller works, larger does not.
BEGIN;
UPDATE teller.account SET status = 'frozen_debit' WHERE ledger_id = 326 AND account_id = 2;
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 10.01)', :'h'));
SELECT status, reason FROM teller.adjust_hold(326, :'h', 10.01, on_denial => 'return');
SELECT status FROM teller.adjust_hold(326, :'h', 9);
ROLLBACK;
BEGIN;
UPDATE teller.account SET status = 'frozen_credit' WHERE ledger_id = 326 AND account_id = 3;
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 10.01)', :'h'));
SELECT status FROM teller.adjust_hold(326, :'h', 9);
ROLLBACK;
BEGIN;
UPDATE teller.account SET status = 'closed' WHERE ledger_id = 326 AND account_id = 2;
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 10.01)', :'h'));
SELECT status FROM teller.adjust_hold(326, :'h', 9);
ROLLBACK;
SELECT status FROM teller.release(326, :'h');

-- Where the credit account has a maximum its pending credit is kept in step,
-- and is its limit.
SELECT id AS h FROM teller.hold(326, 1, 4, 30, '1 hour') \gset
SELECT status FROM teller.transfer(326, 1, 4, 10);
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 40.01)', :'h'));
SELECT status FROM teller.adjust_hold(326, :'h', 40);
SELECT posted, pending_credit, version FROM teller.account WHERE ledger_id = 326 AND account_id = 4;
SELECT pg_temp.says('SELECT teller.transfer(326, 1, 4, 0.01)');
SELECT status FROM teller.adjust_hold(326, :'h', 15);
SELECT expires_at > clock_timestamp() + interval '1 hour' FROM teller.extend_hold(326, :'h', '2 hours');
SELECT posted, pending_credit, version FROM teller.account WHERE ledger_id = 326 AND account_id = 4;
SELECT kind, amount, credit_version, credit_posted, credit_pending
FROM teller.journal WHERE ledger_id = 326 AND credit_account = 4 ORDER BY credit_version NULLS LAST;
SELECT credit_balance FROM teller.capture(326, :'h', 5, final => false);
SELECT status FROM teller.adjust_hold(326, :'h', 40);
SELECT credit_balance FROM teller.capture(326, :'h');
SELECT * FROM teller.balance(326, 4);
-- Another hold that is due does not stand in the way.
SELECT status FROM teller.transfer(326, 4, 1, 50);
SELECT id AS h1 FROM teller.hold(326, 1, 4, 30, '1 hour') \gset
SELECT id AS h2 FROM teller.hold(326, 1, 4, 20, '1 hour') \gset
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 20.01)', :'h2'));
UPDATE teller.hold SET expires_at = clock_timestamp() - interval '1 second' WHERE ledger_id = 326 AND hold_id = :'h1';
SELECT status FROM teller.adjust_hold(326, :'h2', 50);
SELECT status FROM teller.release(326, :'h2');

-- ---- keys ------------------------------------------------------------------------

SELECT status FROM teller.transfer(326, 1, 2, 100);
SELECT id AS h FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
SELECT expires_at AS deadline, replayed FROM teller.extend_hold(326, :'h', '5 hours', key => 'later') \gset
SELECT :'replayed';
SELECT available AS available, replayed FROM teller.adjust_hold(326, :'h', 20, key => 'more') \gset
SELECT :'replayed';
SELECT status FROM teller.transfer(326, 2, 1, 1);
SELECT pg_temp.books() AS before \gset
SELECT id = :'h', status, expires_at = :'deadline', replayed FROM teller.extend_hold(326, :'h', '300 min', key => 'later');
SELECT id = :'h', status, expires_at = :'deadline', available = :available, replayed FROM teller.adjust_hold(326, :'h', 20.00, key => 'more');
SELECT call || E'\n\t' || pg_temp.says(format('SELECT teller.' || call, :'h'))
FROM unnest(ARRAY['extend_hold(326, %L, ''6 hours'', key => ''later'')',
	'extend_hold(326, ''00000000-0000-7000-8000-000000000000'', ''5 hours'', key => ''later'')',
	'adjust_hold(326, %L, 5, key => ''later'')', 'adjust_hold(326, %L, 21, key => ''more'')',
	'adjust_hold(326, ''00000000-0000-7000-8000-000000000000'', 20, key => ''more'')',
	'release(326, %L, key => ''more'')']) AS call;
SELECT pg_temp.books() = :'before';
-- Both replay when the hold is over.
SELECT status FROM teller.release(326, :'h', key => 'over');
SELECT status, replayed FROM teller.extend_hold(326, :'h', '5 hours', key => 'later');
SELECT status, replayed FROM teller.adjust_hold(326, :'h', 20, key => 'more');
SELECT function, id = :'h', status FROM teller.find(326, 'later');
SELECT function, id = :'h', status FROM teller.find(326, 'more');
-- An adjustment to the present amount is remembered too.
SELECT id AS h FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
SELECT status, replayed FROM teller.adjust_hold(326, :'h', 10, key => 'same');
SELECT status FROM teller.adjust_hold(326, :'h', 11);
SELECT status, replayed FROM teller.adjust_hold(326, :'h', 10, key => 'same');
SELECT amount FROM teller.hold WHERE ledger_id = 326 AND hold_id = :'h';
-- A denial is kept where that is asked.
SELECT status, reason, replayed FROM teller.adjust_hold(326, :'h', 1000, key => 'much', on_denial => 'record');
SELECT status FROM teller.transfer(326, 1, 2, 1000);
SELECT id = :'h', status, reason, replayed FROM teller.adjust_hold(326, :'h', 1000, key => 'much');
-- Less than is captured is an error that is not recorded.
SELECT amount FROM teller.capture(326, :'h', 1, final => false);
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 0.5, key => ''under'', on_denial => ''record'')', :'h'));
SELECT count(*) FROM teller.find(326, 'under');

-- ---- several captures -----------------------------------------------------------------

SELECT id AS h, debit_version AS version FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
SELECT i, t.amount, t.debit_version - :version FROM generate_series(1, 4) AS i,
	LATERAL teller.capture(326, :'h', i, final => false) AS t;
SELECT amount, captured, released, state FROM teller.hold WHERE ledger_id = 326 AND hold_id = :'h';
SELECT kind, amount, debit_pending, ends_hold FROM teller.journal WHERE ledger_id = 326 AND hold_id = :'h' ORDER BY debit_version;
SELECT count(*) FILTER (WHERE status = 'posted'), count(*) FILTER (WHERE reason = 'hold_not_open')
FROM generate_series(1, 3) AS i, LATERAL teller.capture(326, :'h', i, on_denial => 'return');
-- Captured, extended, adjusted, captured: each in its turn, in one transaction.
BEGIN;
SELECT id AS h FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
SELECT amount FROM teller.capture(326, :'h', 10, final => false);
ROLLBACK;
BEGIN;
SELECT id AS h FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
SELECT amount FROM teller.capture(326, :'h', 4, final => false);
SELECT status FROM teller.extend_hold(326, :'h', '2 hours');
SELECT status FROM teller.adjust_hold(326, :'h', 14);
SELECT amount FROM teller.capture(326, :'h', 6, final => false);
SELECT status FROM teller.adjust_hold(326, :'h', 12);
SELECT amount FROM teller.capture(326, :'h', 1);
COMMIT;
SELECT amount, captured, released, state FROM teller.hold WHERE ledger_id = 326 AND hold_id = :'h';
SELECT kind, amount, debit_pending, ends_hold FROM teller.journal WHERE ledger_id = 326 AND hold_id = :'h' ORDER BY debit_version;

-- A savepoint takes a change back; nothing in a read-only transaction.
SELECT id AS h, expires_at AS was FROM teller.hold(326, 2, 3, 10, '1 hour') \gset
BEGIN;
SAVEPOINT s;
SELECT status FROM teller.extend_hold(326, :'h', '2 hours');
SELECT status FROM teller.adjust_hold(326, :'h', 20);
ROLLBACK TO s;
SELECT amount, expires_at = :'was' FROM teller.hold WHERE ledger_id = 326 AND hold_id = :'h';
COMMIT;
BEGIN ISOLATION LEVEL REPEATABLE READ;
SELECT status FROM teller.extend_hold(326, :'h', '2 hours');
SELECT status FROM teller.adjust_hold(326, :'h', 20);
COMMIT;
BEGIN READ ONLY;
SELECT pg_temp.says(format('SELECT teller.extend_hold(326, %L, ''3 hours'')', :'h'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 5)', :'h'));
ROLLBACK;
-- The right is post.
CREATE ROLE regress_hold_change;
GRANT USAGE ON SCHEMA teller TO regress_hold_change;
SELECT teller.grant_ledger(326, 'regress_hold_change', 'read');
SET ROLE regress_hold_change;
SELECT pg_temp.says(format('SELECT teller.extend_hold(326, %L, ''3 hours'')', :'h'));
SELECT pg_temp.says(format('SELECT teller.adjust_hold(326, %L, 5)', :'h'));
RESET ROLE;
SELECT teller.grant_ledger(326, 'regress_hold_change', 'post');
SET ROLE regress_hold_change;
SELECT status FROM teller.extend_hold(326, :'h', '3 hours');
SELECT status FROM teller.adjust_hold(326, :'h', 5);
RESET ROLE;
SELECT teller.revoke_ledger(326, 'regress_hold_change');
REVOKE USAGE ON SCHEMA teller FROM regress_hold_change;
DROP ROLE regress_hold_change;

-- An adjustment that changes nothing, under a key, when the account was credited
-- last: its answer has that version, and verify() does not miss a row of it.
SELECT id AS h FROM teller.hold(326, 2, 3, 1, '1 day') \gset
SELECT status FROM teller.transfer(326, 1, 2, 1);
SELECT status, replayed FROM teller.adjust_hold(326, :'h', 1, key => 'unchanged');
SELECT status FROM teller.release(326, :'h');

SELECT * FROM teller.verify();
