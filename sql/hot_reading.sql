-- What reads the book is right for accounts that are hot or were: statement,
-- balance_at, the views, the feed, seals, verify() at both levels and the
-- corruptions it finds.
\pset format unaligned
\pset tuples_only on
SELECT current_setting('shared_preload_libraries') NOT LIKE '%pg_teller%' AS alone \gset
\if :alone
\echo 'hot accounts need the preload'
\quit
\endif
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN regexp_replace(sqlstate || ': ' || sqlerrm, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g');
END
$$;
-- Until the worker has folded everything of an account.
CREATE PROCEDURE pg_temp.folded(hot_account bigint) LANGUAGE plpgsql AS $$
BEGIN
	WHILE EXISTS (SELECT FROM teller.verify_tail WHERE ledger_id = 421 AND account_id = hot_account) LOOP
		COMMIT;
	END LOOP;
END
$$;
SELECT teller.create_ledger(421), teller.create_ledger(422), teller.create_asset('USD', 2);
SELECT count(teller.open_account(421, a, 'USD', min_balance => CASE WHEN a <> 1 THEN 0 END,
	max_balance => CASE a WHEN 4 THEN 5000 END)) FROM generate_series(1, 6) AS a;
SELECT teller.open_account(421, 7, 'USD', hot => true);

-- Account 3 is cold, hot, cold, hot; 4 has a maximum and goes from cold to hot.
SELECT status FROM teller.transfer(421, 1, 3, 100);
SELECT status FROM teller.transfer(421, 3, 2, 10);
SELECT clock_timestamp() AS t1 \gset
SELECT teller.set_hot(421, 3, true), teller.set_hot(421, 4, true);
SELECT count(teller.transfer(421, 1, 3, n)) FROM generate_series(1, 5) AS n;
SELECT id AS early FROM teller.transfer(421, 3, 2, 7, effective_at => '2020-01-01 00:00Z', key => 'early') \gset
CALL pg_temp.folded(3);
SELECT clock_timestamp() AS t2 \gset
SELECT count(teller.transfer(421, 1, 3, n)) FROM generate_series(6, 9) AS n;
SELECT id AS h FROM teller.hold(421, 3, 4, 20, ttl => '1 day', key => 'reserve') \gset
SELECT status FROM teller.extend_hold(421, :'h', '2 days', key => 'longer');
SELECT status FROM teller.adjust_hold(421, :'h', 25, key => 'more');
SELECT amount FROM teller.capture(421, :'h', 5, final => false, key => 'part');
SELECT clock_timestamp() AS t3 \gset
SELECT posted, pending_debit, pending_credit, available, version FROM teller.balance(421, 3);
SELECT teller.set_hot(421, 3, false);
SELECT status FROM teller.transfer(421, 3, 2, 1, key => 'cold');
SELECT clock_timestamp() AS t4 \gset
SELECT status FROM teller.transfer(421, 1, 3, 2);
SELECT amount FROM teller.capture(421, :'h', 4, final => false);
SELECT teller.set_hot(421, 3, true);
SELECT amount FROM teller.capture(421, :'h', 6);
SELECT count(*) FROM teller.post(421, '{1,3,7}', '{3,7,2}', '{3,2,1}', key => 'batch');
SELECT amount FROM teller.reverse(421, :'early', 2, key => 'back');
SELECT id AS open FROM teller.hold(421, 3, 4, 8, ttl => '1 day') \gset
SELECT posted, pending_debit, pending_credit, available, version FROM teller.balance(421, 3);
SELECT posted, pending_debit, pending_credit, available, version FROM teller.account_balance WHERE ledger_id = 421 AND account_id = 4;

-- Frozen while it is hot, and not any more: what it did before and after.
SELECT teller.freeze_account(421, 4), teller.unfreeze_account(421, 4);
SELECT status FROM teller.transfer(421, 1, 4, 1);

-- statement ------------------------------------------------------------------

SELECT version, kind, side, amount, posted, pending FROM teller.statement(421, 3);
SELECT version, kind, side, amount, posted, pending FROM teller.statement(421, 4);
SELECT count(*) FROM (SELECT * FROM teller.statement(421, 3) EXCEPT ALL
	SELECT * FROM teller.posting WHERE ledger_id = 421 AND account_id = 3) AS more;
SELECT count(*) FROM (SELECT * FROM teller.posting WHERE ledger_id = 421 AND account_id = 3 EXCEPT ALL
	SELECT * FROM teller.statement(421, 3)) AS less;
-- Page by page to the end: no gap, no double, whatever the size of a page.
CREATE FUNCTION pg_temp.pages(account bigint, size integer) RETURNS TABLE (pages bigint, rows integer, as_whole boolean)
LANGUAGE plpgsql AS $$
DECLARE
	page uuid[];
	ids uuid[] := '{}';
BEGIN
	pages := 0;
	LOOP
		SELECT array_agg(journal_id) INTO page
		FROM teller.statement(421, account, max_rows => size, after_id => ids[cardinality(ids)]);
		EXIT WHEN page IS NULL;
		pages := pages + 1;
		ids := ids || page;
	END LOOP;
	RETURN QUERY SELECT pages, cardinality(ids), ids = ARRAY(SELECT s.journal_id FROM teller.statement(421, account) AS s);
END
$$;
SELECT a, size, p.* FROM unnest(ARRAY[2, 3, 7]) AS a, unnest(ARRAY[1, 2, 7, 100]) AS size, LATERAL pg_temp.pages(a, size) AS p;
-- After a version come the rows of the time when the account was hot next.
SELECT after, string_agg(coalesce(version::text, '-'), ' ') FROM generate_series(0, 6) AS after,
	LATERAL (SELECT version FROM teller.statement(421, 3, after)) AS s GROUP BY after ORDER BY after;
SELECT pg_temp.says(format('SELECT * FROM teller.statement(421, 3, %s, 10, %L)', v, id))
FROM (VALUES (1, :'early'), (0, '00000000-0000-7000-8000-000000000000'), (0, :'early')) AS c (v, id);
SELECT pg_temp.says(format('SELECT * FROM teller.statement(421, 6, after_id => %L)', :'early'));
-- A hold event that did not touch its credit account is no posting of it.
SELECT pg_temp.says(format('SELECT * FROM teller.statement(421, 4, after_id => %L)', id))
FROM teller.movement WHERE ledger_id = 421 AND kind = 'extend';
-- A page is read by index, from where it begins.
SELECT count(teller.transfer(421, 1, 7, 1)) FROM generate_series(1, 2000);
SELECT journal_id AS last FROM teller.statement(421, 7, max_rows => 10000) OFFSET 1990 LIMIT 1 \gset
BEGIN;
SELECT sum(coalesce(idx_tup_fetch, 0)) + sum(seq_tup_read) AS fetched FROM pg_stat_xact_user_tables WHERE relid = 'teller.journal'::regclass \gset
SELECT count(*) FROM teller.statement(421, 7, max_rows => 5, after_id => :'last');
SELECT sum(coalesce(idx_tup_fetch, 0)) + sum(seq_tup_read) - :fetched < 20 FROM pg_stat_xact_user_tables WHERE relid = 'teller.journal'::regclass;
COMMIT;

-- balance_at -----------------------------------------------------------------

SELECT teller.balance_at(421, 3, t::timestamptz), teller.balance_at(421, 3, t::timestamptz, 'effective')
FROM unnest(ARRAY['2000-01-01 00:00Z', :'t1', :'t2', :'t3', :'t4', 'infinity']) AS t;
-- Each moment of it, by the rows themselves.
SELECT count(*), count(*) FILTER (WHERE teller.balance_at(421, 3, m.recorded_at) = (SELECT sum(
	CASE WHEN p.kind NOT IN ('transfer', 'capture', 'reversal') THEN 0 WHEN p.side = 'debit' THEN -p.amount ELSE p.amount END)
	FROM teller.posting AS p WHERE p.ledger_id = 421 AND p.account_id = 3 AND p.recorded_at <= m.recorded_at))
FROM teller.posting AS m WHERE m.ledger_id = 421 AND m.account_id = 3;

-- The feed and seals ------------------------------------------------------------

SELECT kind, amount, debit_version, debit_posted, credit_version, credit_posted
FROM teller.journal_since(421, max_rows => 4);
SELECT count(*) FROM (SELECT id FROM teller.journal_since(421, max_rows => 10000)
	EXCEPT SELECT id FROM teller.movement WHERE ledger_id = 421) AS s;

-- verify -------------------------------------------------------------------------

SELECT * FROM teller.verify(421);
SELECT teller.mark_verified(421);
SELECT folds ? '3', folds ? '4', folds ? '2' FROM teller.verified WHERE ledger_id = 421;
-- What follows the mark, with a fold, and switches to and fro.
SELECT count(teller.transfer(421, 1, 3, 1)) FROM generate_series(1, 3);
SELECT * FROM teller.verify(421, 'quick');
CALL pg_temp.folded(3);
SELECT * FROM teller.verify(421, 'quick');
SELECT amount FROM teller.capture(421, :'open', 3, final => false);
SELECT teller.set_hot(421, 3, false);
SELECT status FROM teller.transfer(421, 3, 2, 1);
SELECT status FROM teller.adjust_hold(421, :'open', 9);
SELECT teller.set_hot(421, 3, true), teller.set_hot(421, 2, true);
SELECT status FROM teller.adjust_hold(421, :'open', 8);
SELECT status FROM teller.transfer(421, 3, 2, 1, key => 'hot');
SELECT status FROM teller.release(421, :'open', key => 'free');
SELECT teller.set_hot(421, 4, false);
SELECT * FROM teller.verify(421, 'quick');
SELECT teller.verify_marked(421) IS NOT NULL;
SELECT * FROM teller.verify(421);
SELECT teller.mark_verified(421, 'quick');
SELECT full_at < verified_at FROM teller.verified WHERE ledger_id = 421;
-- What was written since a mark is all that quick reads.
SELECT count(teller.transfer(421, 1, 7, 1)) FROM generate_series(1, 3000);
CALL pg_temp.folded(7);
VACUUM ANALYZE teller.journal, teller.key, teller.account, teller.hold;
SELECT teller.mark_verified(421);
SELECT status FROM teller.transfer(421, 1, 7, 1);
BEGIN;
SELECT sum(coalesce(idx_tup_fetch, 0)) + sum(seq_tup_read) AS fetched FROM pg_stat_xact_user_tables WHERE relid = 'teller.journal'::regclass \gset
SELECT * FROM teller.verify(421, 'quick');
SELECT sum(coalesce(idx_tup_fetch, 0)) + sum(seq_tup_read) - :fetched < 500 FROM pg_stat_xact_user_tables WHERE relid = 'teller.journal'::regclass;
COMMIT;

-- Corruptions, each taken back.  Numbers of epochs depend on when the worker
-- folds.
DELETE FROM teller.verified WHERE ledger_id = 421;
CREATE FUNCTION pg_temp.plant(what text, expected text, corruption text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text[];
BEGIN
	BEGIN
		EXECUTE corruption;
		found := ARRAY(SELECT concat(v.invariant, ' ', v.object, ': ', v.detail) FROM teller.verify(421) AS v);
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN
			NULL;
		WHEN OTHERS THEN
			RETURN what || E'\n\tverify() ITSELF FAILED: ' || sqlstate || ': ' || sqlerrm;
	END;
	RETURN what || E'\n\t' || coalesce(regexp_replace(regexp_replace(regexp_replace((SELECT min(f COLLATE "C") FROM unnest(found) AS f WHERE f LIKE expected),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
		'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+', '<time>', 'g'),
		'(epoch|up to|before to) [1-9]\d*|\{[\d,]+\}', '\1 <n>', 'g'),
		'NOT FOUND, BUT ' || array_to_string(found, E'\n\t'));
END
$$;
SET DateStyle = 'ISO';
-- Nothing else moves while they are planted: everything is folded, and account
-- 7 stays as the worker left it.
CALL pg_temp.folded(2);
CALL pg_temp.folded(3);
CALL pg_temp.folded(7);
SELECT pg_temp.plant('a folded balance changed', 'I3 account 3: posted%',
	'UPDATE teller.account SET posted = posted + CASE account_id WHEN 3 THEN 1 ELSE -1 END WHERE ledger_id = 421 AND account_id IN (3, 6)');
SELECT pg_temp.plant('the same by versions', 'I5 account 3: the row has version%',
	'UPDATE teller.account SET posted = posted + CASE account_id WHEN 3 THEN 1 ELSE -1 END WHERE ledger_id = 421 AND account_id IN (3, 6)');
SELECT pg_temp.plant('a sum that does not balance', 'I1 asset USD: posted%',
	'UPDATE teller.account SET posted = posted + 1 WHERE ledger_id = 421 AND account_id = 7');
SELECT pg_temp.plant('a fold noted that did not happen', 'I3 account 7: posted%',
	$$INSERT INTO teller.journal SELECT ledger_id, '01a1fa6b-0000-7000-8000-000000000421', kind, debit_account, credit_account, 1.00,
		debit_version, debit_posted, debit_pending, credit_version, credit_posted, credit_pending, hold_id, reverses, batch_id,
		operation_id, effective_at, recorded_at, metadata, ends_hold, tx, debit_epoch, credit_epoch
	FROM teller.journal WHERE ledger_id = 421 AND credit_account = 7 AND credit_version IS NULL ORDER BY id LIMIT 1$$);
SELECT pg_temp.plant('a folded row counted once more', 'I1 asset USD: posted%',
	'UPDATE teller.account SET folded_epoch = folded_epoch - 1 WHERE ledger_id = 421 AND account_id = 7');
SELECT pg_temp.plant('an epoch said to be open that is folded', 'I3 account 7: posted%',
	'UPDATE teller.account SET open_epochs = ARRAY[folded_epoch] WHERE ledger_id = 421 AND account_id = 7');
SELECT pg_temp.plant('an open epoch that is yet to come', 'I5 account 7: folded up to epoch %',
	'UPDATE teller.account SET open_epochs = ARRAY[folded_epoch + 5] WHERE ledger_id = 421 AND account_id = 7');
SELECT pg_temp.plant('an open epoch twice', 'I5 account 7: folded up to epoch %',
	'UPDATE teller.account SET folded_epoch = 9999, open_epochs = ARRAY[9998, 9998] WHERE ledger_id = 421 AND account_id = 7');
SELECT pg_temp.plant('open epochs of an account that is not hot', 'I5 account 4: folded up to epoch %',
	'UPDATE teller.account SET open_epochs = ARRAY[1]::bigint[] WHERE ledger_id = 421 AND account_id = 4');
SELECT pg_temp.plant('an account no longer hot with rows to fold', 'I5 account 7: it is not hot, but % rows are of epochs that are not folded',
	'UPDATE teller.account SET hot = false, folded_epoch = folded_epoch - 1 WHERE ledger_id = 421 AND account_id = 7');
SELECT pg_temp.plant('an epoch below one', 'I5 account 7: a row of it has epoch 0',
	'UPDATE teller.journal SET credit_epoch = 0 WHERE ledger_id = 421 AND credit_account = 7 AND credit_version IS NULL');
SELECT pg_temp.plant('a last use before a row that is folded', 'I5 account 7: it was used last at%',
	$$UPDATE teller.account SET last_at = '2020-01-01 00:00Z' WHERE ledger_id = 421 AND account_id = 7$$);
SELECT pg_temp.plant('a side without version and epoch', 'I5 journal %: transfer with versions % and none%', format(
	'UPDATE teller.journal SET credit_epoch = NULL WHERE ledger_id = 421 AND id = %L', (SELECT id FROM teller.journal
	WHERE ledger_id = 421 AND credit_account = 7 AND debit_account = 1 ORDER BY id LIMIT 1)));
SELECT pg_temp.plant('a debit side without version and epoch', 'I5 journal %: transfer with versions none and%', format(
	'UPDATE teller.journal SET debit_epoch = NULL WHERE ledger_id = 421 AND id = %L', :'early'));
SELECT pg_temp.plant('the amount of a hot row changed', 'I3 account 3: posted%', format(
	'UPDATE teller.journal SET amount = 8.00 WHERE ledger_id = 421 AND id = %L', :'early'));
SELECT pg_temp.plant('the same, in the versions after it', 'I5 account 3: version 3: posted%', format(
	'UPDATE teller.journal SET amount = 8.00 WHERE ledger_id = 421 AND id = %L', :'early'));
SELECT pg_temp.plant('a hot row deleted', 'I5 account 3: version 3: posted%', format(
	'DELETE FROM teller.journal WHERE ledger_id = 421 AND id = %L', :'early'));
SELECT pg_temp.plant('a hot row in another epoch', 'I5 account 3: version 3: posted%', format(
	'UPDATE teller.journal SET debit_epoch = (SELECT folded_epoch FROM teller.account WHERE ledger_id = 421 AND account_id = 3) WHERE ledger_id = 421 AND id = %L', :'early'));
SELECT pg_temp.plant('epochs that go back along versions', 'I5 account 3: version 4 belongs to epoch %',
	'UPDATE teller.journal SET credit_epoch = NULL WHERE ledger_id = 421 AND credit_account = 3 AND credit_version = 4');
SELECT pg_temp.plant('a version of an epoch yet to come', 'I5 account 2: version % belongs to epoch 99, but epochs are folded up to %',
	'UPDATE teller.journal SET credit_epoch = 99 WHERE ledger_id = 421 AND credit_account = 2 AND credit_version =
		(SELECT version FROM teller.account WHERE ledger_id = 421 AND account_id = 2)');
SELECT pg_temp.plant('a hot row recorded before the version that it follows', 'I6 account 3: version 2 was recorded at %', format(
	$$UPDATE teller.journal SET recorded_at = '2020-01-01 00:00Z' WHERE ledger_id = 421 AND id = %L$$, :'early'));
SELECT pg_temp.plant('a version recorded before hot rows', 'I6 account 3: version 3 was recorded at %',
	'UPDATE teller.journal SET recorded_at = recorded_at - interval ''1 hour'' WHERE ledger_id = 421 AND debit_account = 3 AND debit_version = 3');
SELECT pg_temp.plant('a pending amount changed', 'I3 account 3: pending_debit%',
	'UPDATE teller.account SET pending_debit = pending_debit + 1 WHERE ledger_id = 421 AND account_id = 3');
SELECT pg_temp.plant('the same by versions', 'I5 account 3: the row has pending_debit%',
	'UPDATE teller.account SET pending_debit = pending_debit + 1 WHERE ledger_id = 421 AND account_id = 3');
SELECT pg_temp.plant('pending of a version after hot rows', 'I5 account 3: version 3: pending_debit%',
	'UPDATE teller.journal SET debit_pending = debit_pending + 1 WHERE ledger_id = 421 AND debit_account = 3 AND debit_version = 3');
SELECT pg_temp.plant('a hot hold event deleted', 'I9 hold %', format(
	'DELETE FROM teller.journal WHERE ledger_id = 421 AND hold_id = %L AND kind = ''adjust''', :'h'));
SELECT pg_temp.plant('a hot adjustment that does not say how', 'I9 hold %', format(
	'UPDATE teller.journal SET metadata = NULL WHERE ledger_id = 421 AND hold_id = %L AND kind = ''adjust''', :'h'));
SELECT pg_temp.plant('the answer under a key of a hot row', 'I13 key ''early'': transfer % is not what was asked for or answered under it',
	$$UPDATE teller.key SET result = result || '{"debit_version": 3}' WHERE ledger_id = 421 AND key = 'early'$$);
SELECT pg_temp.plant('the answer of a hot hold event', 'I13 key ''longer'': extend_hold of hold % made no version none',
	$$UPDATE teller.journal SET metadata = metadata || '{"new_expires_at": "2030-01-01T00:00:00+00:00"}' WHERE ledger_id = 421 AND kind = 'extend'$$);
SELECT pg_temp.plant('a hot account below its minimum', 'I7 account 7: it is hot with available%',
	$$UPDATE teller.account SET min_balance = 1000000 WHERE ledger_id = 421 AND account_id = 7$$);
SELECT pg_temp.plant('a hot account above its maximum', 'I7 account 7: it is hot with available%',
	$$UPDATE teller.account SET max_balance = 1 WHERE ledger_id = 421 AND account_id = 7$$);
SELECT pg_temp.plant('a debit of a hot account that was frozen', 'I8 account 7: journal % a transfer debited it while it was frozen_debit',
	$$SELECT teller.freeze_account(421, 7, 'debit');
	UPDATE teller.limit_change_data SET changed_at = '2020-01-01 00:00Z' WHERE ledger_id = 421 AND account_id = 7$$);
SELECT pg_temp.plant('a row of a hot account that was closed', 'I8 account 7: journal % a transfer credited it while it was closed',
	$$SELECT teller.freeze_account(421, 7, 'debit');
	UPDATE teller.limit_change_data SET changed_at = '2020-01-01 00:00Z', status = 'closed' WHERE ledger_id = 421 AND account_id = 7$$);

-- All that changed nothing.
SELECT * FROM teller.verify(421);

-- Level quick notices what was changed behind its mark, and since.
SELECT teller.mark_verified(421);
SELECT status FROM teller.transfer(421, 7, 6, 2, key => 'since');
CALL pg_temp.folded(7);
CREATE FUNCTION pg_temp.quick(corruption text) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	told text[];
BEGIN
	BEGIN
		EXECUTE corruption;
		told := ARRAY(SELECT DISTINCT concat_ws(' ', v.invariant, v.object) FROM teller.verify(421, 'quick') AS v);
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION WHEN SQLSTATE 'UNDO0' THEN
		NULL;
	END;
	RETURN QUERY SELECT DISTINCT regexp_replace(t, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>') COLLATE "C" AS line
		FROM unnest(told) AS t ORDER BY line;
END
$$;
SELECT pg_temp.quick('SELECT 1');
SELECT pg_temp.quick('UPDATE teller.account SET posted = posted + CASE account_id WHEN 7 THEN 1 ELSE -1 END WHERE ledger_id = 421 AND account_id IN (7, 5)');
SELECT pg_temp.quick('UPDATE teller.journal SET amount = 3.00 WHERE ledger_id = 421 AND debit_account = 7 AND credit_account = 6');
SELECT pg_temp.quick('DELETE FROM teller.journal WHERE ledger_id = 421 AND debit_account = 7 AND credit_account = 6');
SELECT pg_temp.quick('UPDATE teller.journal SET debit_epoch = NULL WHERE ledger_id = 421 AND debit_account = 7 AND credit_account = 6');
SELECT pg_temp.quick('UPDATE teller.account SET folded_epoch = folded_epoch - 1 WHERE ledger_id = 421 AND account_id = 7');
SELECT pg_temp.quick('UPDATE teller.account SET pending_debit = pending_debit + 1 WHERE ledger_id = 421 AND account_id = 7');
SELECT pg_temp.quick($$UPDATE teller.key SET result = result || '{"amount": 5}' WHERE ledger_id = 421 AND key = 'since'$$);

-- Seals cover the epochs, which say where a row belongs.
SELECT sealed > 5000 FROM teller.seal(421);
SELECT * FROM teller.verify_seal(421);
BEGIN;
UPDATE teller.journal SET debit_epoch = debit_epoch + 1 WHERE ledger_id = 421 AND id = :'early';
SELECT regexp_replace(detail, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>') FROM teller.verify_seal(421);
ROLLBACK;
