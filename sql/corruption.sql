-- verify() finds what a superuser corrupts: one healthy book, and each
-- corruption planted alone and taken back.  What a constraint would stop is
-- planted after dropping it, as if it had been written to the page.
\pset format unaligned
\pset tuples_only on
-- Plant a corruption in ledger 341 and tell of the violation that it must be
-- found by, how many there are beside it, and whether level quick, with all of
-- the book written since its mark, finds it too.
CREATE FUNCTION pg_temp.plant(what text, expected text, corruption text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	found text[];
	quick text[];
	named text[];
	book bigint;
BEGIN
	BEGIN
		EXECUTE corruption;
		book := (SELECT ledger_id FROM teller.ledger WHERE ledger_id = 341);
		found := ARRAY(SELECT concat(v.invariant, ' ', v.object, ': ', v.detail)
			FROM teller.verify(book) AS v WHERE v.ledger_id = 341);
		quick := ARRAY(SELECT concat(v.invariant, ' ', v.object, ': ', v.detail)
			FROM teller.verify(book, 'quick') AS v WHERE v.ledger_id = 341);
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN
			NULL;
		WHEN OTHERS THEN
			RETURN what || E'\n\tverify() ITSELF FAILED: ' || sqlstate || ': ' || sqlerrm;
	END;
	named := ARRAY(SELECT f FROM unnest(found) AS f WHERE f LIKE expected ORDER BY f COLLATE "C");
	IF named[1] IS NULL THEN
		RETURN concat_ws(E'\n\t', what, 'NOT FOUND AS ' || expected, array_to_string(found, E'\n\t'));
	END IF;
	RETURN what || E'\n\t' || regexp_replace(regexp_replace(named[1],
			'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
			'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+', '<time>', 'g')
		|| E'\n\t' || CASE WHEN EXISTS (SELECT FROM unnest(quick) AS q WHERE split_part(q, ':', 1) = split_part(named[1], ':', 1))
			THEN 'quick names it' WHEN quick <> '{}' THEN 'quick finds something' ELSE 'quick finds nothing' END;
END
$$;
-- Drop the constraints of a table, and make its primary key admit doubles.
CREATE FUNCTION pg_temp.unguard(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	guard name;
BEGIN
	FOR guard IN SELECT conname FROM pg_constraint WHERE conrelid = relation AND contype = 'c' LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', relation, guard);
	END LOOP;
	FOR guard IN SELECT attname FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND attnotnull
			AND NOT attnum = ANY (SELECT unnest(indkey) FROM pg_index WHERE indrelid = relation AND indisprimary) LOOP
		EXECUTE format('ALTER TABLE %s ALTER COLUMN %I DROP NOT NULL', relation, guard);
	END LOOP;
	SET LOCAL allow_system_table_mods = on;
	UPDATE pg_index SET indisunique = false WHERE indrelid = relation AND indisprimary;
END
$$;
SET DateStyle = 'ISO';

-- The book: every kind of row, in two ledgers.
SELECT teller.create_ledger(341, 'book'), teller.create_ledger(342, 'other');
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT count(teller.open_account(l, a, 'USD', min_balance => CASE WHEN a <> 1 AND a <> 9 THEN 0 END,
	max_balance => CASE a WHEN 3 THEN 500 END))
FROM unnest(ARRAY[341, 342]) AS l, unnest(ARRAY[1, 2, 3, 4, 7, 9]) AS a;
SELECT teller.open_account(341, 5, 'JPY'), teller.open_account(341, 6, 'JPY', min_balance => NULL);
-- Level quick starts here.
SELECT teller.mark_verified(341), teller.mark_verified(342);
SELECT id AS fund FROM teller.transfer(341, 1, 2, 1000, key => 'fund') \gset
SELECT id AS rent FROM teller.transfer(341, 2, 4, 50, key => 'rent', effective_at => '2020-01-15 00:00Z',
	metadata => '{"month": 1}') \gset
SELECT id AS refund FROM teller.reverse(341, :'rent', 20, key => 'refund') \gset
SELECT id AS yen FROM teller.transfer(341, 6, 5, 700) \gset
SELECT status FROM teller.transfer(342, 1, 2, 1000);
SELECT batch_id AS batch FROM teller.post(341, '{2,2,2}', '{3,4,7}', '{10,20,5}', key => 'payroll') LIMIT 1 \gset
SELECT id AS item FROM teller.movement WHERE ledger_id = 341 AND batch_id = :'batch' ORDER BY id OFFSET 1 LIMIT 1 \gset
SELECT count(*) FROM teller.post(341, '{2,2}', '{4,4}', '{1,2}', keys => '{i1,i2}');
SELECT id AS open FROM teller.hold(341, 2, 4, 30, '1 day', key => 'reserve') \gset
SELECT id AS part FROM teller.capture(341, :'open', 5, final => false, key => 'part') \gset
SELECT status FROM teller.extend_hold(341, :'open', '2 days', key => 'longer');
SELECT status FROM teller.extend_hold(341, :'open', '3 days');
SELECT status FROM teller.adjust_hold(341, :'open', 40, key => 'more');
SELECT status FROM teller.adjust_hold(341, :'open', 35, key => 'less');
SELECT status FROM teller.adjust_hold(341, :'open', 35, key => 'as it is');
SELECT id AS taken FROM teller.hold(341, 2, 3, 25, '1 day') \gset
SELECT id AS take FROM teller.capture(341, :'taken', 10, key => 'take') \gset
SELECT id AS whole FROM teller.hold(341, 2, 3, 6, '1 day') \gset
SELECT amount FROM teller.capture(341, :'whole');
SELECT id AS freed FROM teller.hold(341, 2, 4, 3, '1 day') \gset
SELECT status FROM teller.release(341, :'freed', key => 'free');
SELECT id AS gone FROM teller.hold(341, 2, 4, 2, '1 us') \gset
DO $$
BEGIN
	WHILE EXISTS (SELECT FROM teller.hold WHERE ledger_id = 341 AND amount = 2 AND state = 'open') LOOP
		PERFORM teller.expire_due();
	END LOOP;
END
$$;
SELECT status, reason FROM teller.transfer(341, 7, 4, 9999, key => 'denied', on_denial => 'record');
SELECT teller.close_period(341, '2020-02-01 00:00Z');
INSERT INTO teller.key_horizon VALUES (341, '2020-01-01 00:00Z');
-- An operation that is settled, as the worker leaves one.
SELECT id AS held FROM teller.hold(341, 2, 9, 70, '1 day') \gset
SELECT id AS settled FROM teller.capture(341, :'held') \gset
\set op '01a1fa6b-0000-7000-8000-000000000341'
UPDATE teller.hold SET operation_id = :'op', expires_at = NULL WHERE ledger_id = 341 AND hold_id = :'held';
UPDATE teller.journal SET operation_id = :'op' WHERE ledger_id = 341 AND hold_id = :'held';
INSERT INTO teller.operation_data (ledger_id, id, account_id, settlement_account,
	direction, server, nonce, memo, amount, asset, counterparty, payload, request,
	arguments, fingerprint, submitter, reentrancy, ticket, hold_id, state, dirty, attempts,
	sends, rechecks, last_attempt, cancel_requested, found_nothing, not_after,
	expires_at, created_at, ended_at)
SELECT 341, :'op', 2, 9, 'withdraw', 'bank', 'n', memo, 70.00, 'USD', 'bob', NULL,
	json_build_object('memo', encode(memo, 'hex'), 'origin', origin, 'ledger', '341',
		'direction', 'withdraw', 'account', 'bob', 'amount', '70.00', 'asset', 'USD',
		'nonce', 'n', 'not_after', '2026-01-01 00:00:00+00'::timestamptz),
	'{"amount": 70}', sha256(convert_to('withdraw {"amount": 70}', getdatabaseencoding())),
	current_user::regrole, 'allow', 1, :'held', 'settled', false, 1, 1, 0, 1, false, false,
	'2026-01-01 00:00:00+00', '2026-01-01 00:01:00+00', h.created_at, h.ended_at
FROM teller.hold AS h, (SELECT origin, teller.operation_memo(origin, 'withdraw', 341, 2, 'n', 70.00, 'USD', 'bank', 'bob', NULL) AS memo
	FROM (SELECT '01a1fa6b-0000-7000-8000-00000000000a'::uuid AS origin) AS o) AS m
WHERE h.ledger_id = 341 AND h.hold_id = :'held';
INSERT INTO teller.attempt_data
SELECT ledger_id, id, 1, 'execute', memo, :'op', created_at, ended_at, 'executed'
FROM teller.operation_data WHERE ledger_id = 341;

-- It is sound, at both levels, and quick starts from its mark.
SELECT * FROM teller.verify(341);
SELECT * FROM teller.verify(342);
SELECT * FROM teller.verify(341, 'quick');
SELECT teller.verify_marked(341) IS NOT NULL, teller.verify_marked(342) IS NOT NULL;

-- Accounts -----------------------------------------------------------------

SELECT pg_temp.plant('a balance changed', 'I1 asset USD:%',
	'UPDATE teller.account SET posted = posted + 1 WHERE ledger_id = 341 AND account_id = 2');
SELECT pg_temp.plant('money shifted between two accounts', 'I3 account 4: posted%',
	'UPDATE teller.account SET posted = posted + CASE account_id WHEN 4 THEN 1 ELSE -1 END
	WHERE ledger_id = 341 AND account_id IN (2, 4)');
SELECT pg_temp.plant('a pending amount changed', 'I3 account 2: pending_debit%',
	'UPDATE teller.account SET pending_debit = pending_debit + 1 WHERE ledger_id = 341 AND account_id = 2');
SELECT pg_temp.plant('a version skipped', 'I5 account 2: the row has version%',
	'UPDATE teller.account SET version = version + 1 WHERE ledger_id = 341 AND account_id = 2');
SELECT pg_temp.plant('an account deleted with its history left', 'I2 journal %',
	'DELETE FROM teller.account WHERE ledger_id = 341 AND account_id = 7');
SELECT pg_temp.plant('an account with a second row', 'I5 account 4: there are 2 rows of it',
	$$SELECT pg_temp.unguard('teller.account');
	INSERT INTO teller.account SELECT * FROM teller.account WHERE ledger_id = 341 AND account_id = 4$$);
SELECT pg_temp.plant('another asset', 'I2 journal %: 700 from account 6 to 5',
	$$UPDATE teller.account SET asset = 'USD' WHERE ledger_id = 341 AND account_id = 5$$);
SELECT pg_temp.plant('an asset that does not exist', 'I4 account 7:%',
	$$UPDATE teller.account SET asset = 'EUR' WHERE ledger_id = 341 AND account_id = 7$$);
SELECT pg_temp.plant('the scale of an asset', 'I4 account 5:%',
	$$UPDATE teller.asset SET scale = 1 WHERE asset = 'JPY'$$);
SELECT pg_temp.plant('more decimals than the scale', 'I4 account 4:%',
	'UPDATE teller.account SET posted = posted + 0.001 WHERE ledger_id = 341 AND account_id = 4');
SELECT pg_temp.plant('NaN in an account', 'I4 account 4: posted NaN%',
	$$SELECT pg_temp.unguard('teller.account');
	UPDATE teller.account SET posted = 'NaN' WHERE ledger_id = 341 AND account_id = 4$$);
SELECT pg_temp.plant('no balance', 'I4 account 4:%',
	$$SELECT pg_temp.unguard('teller.account');
	UPDATE teller.account SET posted = NULL WHERE ledger_id = 341 AND account_id = 4$$);
SELECT pg_temp.plant('a status that there is not', 'I4 account 4:%',
	$$SELECT pg_temp.unguard('teller.account');
	UPDATE teller.account SET status = 'lost' WHERE ledger_id = 341 AND account_id = 4$$);
SELECT pg_temp.plant('the last time of an account set back', 'I6 account 2:%',
	$$UPDATE teller.account SET last_at = '2020-01-01' WHERE ledger_id = 341 AND account_id = 2$$);
SELECT pg_temp.plant('a ledger deleted', 'I2 account 4: its ledger does not exist',
	'DELETE FROM teller.ledger WHERE ledger_id = 341');

-- Journal ------------------------------------------------------------------

SELECT pg_temp.plant('a row deleted', 'I5 account 4: version%place%', format(
	'DELETE FROM teller.journal WHERE ledger_id = 341 AND id = %L', :'rent'));
SELECT pg_temp.plant('the last row of an account deleted', 'I5 account 5: the row has version 1%ends with 0 and 0', format(
	'DELETE FROM teller.journal WHERE ledger_id = 341 AND id = %L', :'yen'));
SELECT pg_temp.plant('a row doubled under another id', 'I5 account 4: version%place%', format(
	'INSERT INTO teller.journal SELECT ledger_id, gen_random_uuid(), kind, debit_account, credit_account, amount,
		debit_version, debit_posted, debit_pending, credit_version, credit_posted, credit_pending,
		hold_id, reverses, batch_id, operation_id, effective_at, recorded_at, metadata, ends_hold, tx
	FROM teller.journal WHERE ledger_id = 341 AND id = %L', :'rent'));
SELECT pg_temp.plant('an amount changed', 'I5 account 4: version 1: posted 50.00%', format(
	'UPDATE teller.journal SET amount = 51.00 WHERE ledger_id = 341 AND id = %L', :'rent'));
SELECT pg_temp.plant('both balances of a row changed to fit another amount', 'I5 account 2: version%',
	format('UPDATE teller.journal SET amount = 51.00, debit_posted = debit_posted - 1, credit_posted = credit_posted + 1
	WHERE ledger_id = 341 AND id = %L', :'rent'));
SELECT pg_temp.plant('the amount of every account after it too', 'I13 key ''fund''%', $$
	UPDATE teller.account SET posted = posted + CASE account_id WHEN 1 THEN -1 ELSE 1 END
	WHERE ledger_id = 341 AND account_id IN (1, 2);
	UPDATE teller.journal SET amount = amount + 1 WHERE ledger_id = 341 AND debit_account = 1;
	UPDATE teller.journal SET debit_posted = debit_posted + CASE debit_account WHEN 1 THEN -1 ELSE 1 END
	WHERE ledger_id = 341 AND debit_account IN (1, 2);
	UPDATE teller.journal SET credit_posted = credit_posted + 1 WHERE ledger_id = 341 AND credit_account = 2$$);
SELECT pg_temp.plant('the accounts of a row swapped', 'I5 account%', format(
	'UPDATE teller.journal SET debit_account = credit_account, credit_account = debit_account
	WHERE ledger_id = 341 AND id = %L', :'rent'));
SELECT pg_temp.plant('a row on one account', 'I2 journal%', format(
	$$SELECT pg_temp.unguard('teller.journal');
	UPDATE teller.journal SET credit_account = debit_account WHERE ledger_id = 341 AND id = %L$$, :'rent'));
SELECT pg_temp.plant('a posting moved to the wrong ledger', 'I5 account%', format(
	'UPDATE teller.journal SET ledger_id = 342 WHERE ledger_id = 341 AND id = %L', :'rent'));
SELECT pg_temp.plant('the kind of a row changed', 'I9 journal %: of kind release with hold none', format(
	$$UPDATE teller.journal SET kind = 'release' WHERE ledger_id = 341 AND id = %L$$, :'rent'));
SELECT pg_temp.plant('NaN in the journal', 'I4 journal %amount NaN%', format(
	$$SELECT pg_temp.unguard('teller.journal');
	UPDATE teller.journal SET amount = 'NaN' WHERE ledger_id = 341 AND id = %L$$, :'rent'));
SELECT pg_temp.plant('a balance of a row lost', 'I5 journal %: transfer with versions 2 and 1, posted none%', format(
	'UPDATE teller.journal SET debit_posted = NULL WHERE ledger_id = 341 AND id = %L', :'rent'));
SELECT pg_temp.plant('the credit side of a row lost', 'I5 journal %: transfer with versions 2 and none%', format(
	'UPDATE teller.journal SET credit_version = NULL, credit_posted = NULL, credit_pending = NULL
	WHERE ledger_id = 341 AND id = %L', :'rent'));
SELECT pg_temp.plant('a time set back', 'I6 account 4: version%', format(
	$$UPDATE teller.journal SET recorded_at = recorded_at - interval '1 day' WHERE ledger_id = 341 AND id = %L$$, :'item'));
SELECT pg_temp.plant('a row in a closed period', 'I6 journal %', format(
	$$UPDATE teller.journal SET effective_at = '2020-01-20' WHERE ledger_id = 341 AND id = %L;
	UPDATE teller.period SET closed_at = '2020-03-01' WHERE ledger_id = 341$$, :'yen'));
SELECT pg_temp.plant('a period closed ahead', 'I6 period: closed until %, but it was closed at %',
	$$UPDATE teller.period SET closed_until = closed_at + interval '1 s' WHERE ledger_id = 341$$);
SELECT pg_temp.plant('a row of a batch lost', 'I5 batch %: 2 rows up to number 3', format(
	'DELETE FROM teller.journal WHERE ledger_id = 341 AND id = %L', :'item'));
SELECT pg_temp.plant('the last row of a batch cut off', 'I5 batch %: row 3 does not say%', format(
	'UPDATE teller.journal SET batch_id = NULL WHERE ledger_id = 341 AND batch_id = %L AND credit_account = 7', :'batch'));
SELECT pg_temp.plant('a row put into a batch', 'I5 batch %: a row of it has an id of something else', format(
	'UPDATE teller.journal SET batch_id = %L WHERE ledger_id = 341 AND id = %L', :'batch', :'yen'));
SELECT pg_temp.plant('a row of a batch at another time', 'I5 batch %: its rows were recorded at 2 times', format(
	$$UPDATE teller.journal SET recorded_at = recorded_at - interval '1 us' WHERE ledger_id = 341 AND id = %L$$, :'item'));

SELECT pg_temp.plant('a transfer that ends a hold', 'I9 journal %: of kind transfer with hold none', format(
	'UPDATE teller.journal SET ends_hold = true WHERE ledger_id = 341 AND id = %L', :'rent'));

-- Reversals ----------------------------------------------------------------

SELECT pg_temp.plant('a reversal over the original', 'I21 journal %: 20.00 of its 19.00 are reversed', format(
	'UPDATE teller.journal SET amount = 19.00 WHERE ledger_id = 341 AND id = %L', :'rent'));
SELECT pg_temp.plant('a reversal of nothing', 'I21 journal %: a reversal of nothing', format(
	'UPDATE teller.journal SET reverses = NULL WHERE ledger_id = 341 AND id = %L', :'refund'));
SELECT pg_temp.plant('a reversal of what does not exist', 'I21 journal %, which does not exist', format(
	'UPDATE teller.journal SET reverses = gen_random_uuid() WHERE ledger_id = 341 AND id = %L', :'refund'));
SELECT pg_temp.plant('a reversal of another movement', 'I21 journal %, transfer of 1000.00 from account 1 to 2', format(
	'UPDATE teller.journal SET reverses = %L WHERE ledger_id = 341 AND id = %L', :'fund', :'refund'));
SELECT pg_temp.plant('a reversal of itself', 'I21 journal %, reversal of 20.00%', format(
	'UPDATE teller.journal SET reverses = id WHERE ledger_id = 341 AND id = %L', :'refund'));
SELECT pg_temp.plant('a transfer that reverses', 'I21 journal %: of kind transfer, but it reverses %', format(
	$$UPDATE teller.journal SET kind = 'transfer' WHERE ledger_id = 341 AND id = %L$$, :'refund'));
SELECT pg_temp.plant('a reversal of what an operation did', 'I21 journal %, of operation %', format(
	'UPDATE teller.journal SET operation_id = %L WHERE ledger_id = 341 AND id = %L', :'op', :'rent'));

-- Holds --------------------------------------------------------------------

SELECT pg_temp.plant('the amount of a hold', 'I9 hold %: open: amount 36.00%', format(
	'UPDATE teller.hold SET amount = 36.00 WHERE ledger_id = 341 AND hold_id = %L', :'open'));
SELECT pg_temp.plant('the state of a hold', 'I9 hold %: released, placed at%', format(
	$$UPDATE teller.hold SET state = 'released' WHERE ledger_id = 341 AND hold_id = %L$$, :'whole'));
SELECT pg_temp.plant('a hold reopened', 'I9 hold %: open:%', format(
	$$SELECT pg_temp.unguard('teller.hold');
	UPDATE teller.hold SET state = 'open', ended_at = NULL WHERE ledger_id = 341 AND hold_id = %L$$, :'freed'));
SELECT pg_temp.plant('the time a hold ended', 'I9 hold %: captured, placed at%', format(
	$$UPDATE teller.hold SET ended_at = ended_at + interval '1 s' WHERE ledger_id = 341 AND hold_id = %L$$, :'whole'));
SELECT pg_temp.plant('a hold deleted', 'I9 hold %', format(
	'DELETE FROM teller.hold WHERE ledger_id = 341 AND hold_id = %L', :'freed'));
SELECT pg_temp.plant('a hold on another account', 'I9 hold %: version % hold between accounts 2 and 4%', format(
	'UPDATE teller.hold SET credit_account = 7 WHERE ledger_id = 341 AND hold_id = %L', :'freed'));
SELECT pg_temp.plant('two end rows', 'I9 hold %and 2 ends', format(
	'DROP INDEX teller.journal_hold_end;
	UPDATE teller.journal SET ends_hold = true WHERE ledger_id = 341 AND id = %L', :'take'));
SELECT pg_temp.plant('no end row', 'I9 hold %and 0 ends', format(
	'UPDATE teller.journal SET ends_hold = false WHERE ledger_id = 341 AND hold_id = %L', :'whole'));
SELECT pg_temp.plant('a capture after the deadline', 'I10 hold %', format(
	'UPDATE teller.hold SET expires_at = ended_at WHERE ledger_id = 341 AND hold_id = %L', :'whole'));
SELECT pg_temp.plant('a capture after the deadline then in force', 'I10 hold %: version % capture at%', format(
	$$UPDATE teller.journal SET metadata = jsonb_set(metadata, '{old_expires_at}', to_jsonb((
		SELECT recorded_at FROM teller.journal WHERE ledger_id = 341 AND id = %L)))
	WHERE ledger_id = 341 AND id = (SELECT id FROM teller.journal
		WHERE ledger_id = 341 AND kind = 'extend' ORDER BY debit_version LIMIT 1)$$, :'part'));
SELECT pg_temp.plant('an expiry before the deadline', 'I10 hold %expiry%', format(
	$$UPDATE teller.hold SET expires_at = ended_at + interval '1 s' WHERE ledger_id = 341 AND hold_id = %L$$, :'gone'));
SELECT pg_temp.plant('an extension of a hold that was due', 'I10 hold %', format(
	$$UPDATE teller.journal SET metadata = jsonb_set(metadata, '{old_expires_at}', to_jsonb(recorded_at))
	WHERE ledger_id = 341 AND kind = 'extend'$$));
SELECT pg_temp.plant('a deadline that no extension set', 'I10 hold %: version % the deadline was extended%', format(
	$$UPDATE teller.hold SET expires_at = expires_at + interval '1 day' WHERE ledger_id = 341 AND hold_id = %L$$, :'open'));
SELECT pg_temp.plant('a hold without a deadline', 'I10 hold %: deadline none, operation none', format(
	'UPDATE teller.hold SET expires_at = NULL WHERE ledger_id = 341 AND hold_id = %L', :'open'));
SELECT pg_temp.plant('an extension that says nothing', 'I10 hold %extended from none to none%',
	$$UPDATE teller.journal SET metadata = '{"old_expires_at": "2026-02-31", "new_expires_at": 7}'
	WHERE ledger_id = 341 AND kind = 'extend'$$);
SELECT pg_temp.plant('an adjustment from another amount', 'I9 hold %: version % adjust of 10.00 %from 29 to 39', format(
	$$UPDATE teller.journal SET metadata = '{"old_amount": 29, "new_amount": 39}'
	WHERE ledger_id = 341 AND kind = 'adjust' AND amount = 10$$));
SELECT pg_temp.plant('an adjustment that says nothing', 'I9 hold %: version % from none to none', format(
	$$UPDATE teller.journal SET metadata = '{"old_amount": "thirty"}'
	WHERE ledger_id = 341 AND kind = 'adjust' AND amount = 10$$));

-- Keys ---------------------------------------------------------------------

SELECT pg_temp.plant('the fingerprint of a key', 'I13 key ''rent'': its arguments do not hash%',
	$$UPDATE teller.key SET fingerprint = sha256('other') WHERE ledger_id = 341 AND key = 'rent'$$);
SELECT pg_temp.plant('the arguments of a key, with a fingerprint to match', 'I13 key ''rent'': transfer %',
	$$UPDATE teller.key SET arguments = a, fingerprint = sha256(convert_to('transfer ' || a::text, getdatabaseencoding()))
	FROM (SELECT jsonb_set(arguments, '{metadata}', '{"month": 2}') AS a FROM teller.key
		WHERE ledger_id = 341 AND key = 'rent') AS n
	WHERE ledger_id = 341 AND key = 'rent'$$);
SELECT pg_temp.plant('the answer of a key', 'I13 key ''rent'': transfer %',
	$$UPDATE teller.key SET result = jsonb_set(result, '{debit_balance}', '951.00') WHERE ledger_id = 341 AND key = 'rent'$$);
SELECT pg_temp.plant('an answer that is no number', 'I13 key ''rent'': the result of transfer%',
	$$UPDATE teller.key SET result = jsonb_set(result, '{amount}', '"fifty"') WHERE ledger_id = 341 AND key = 'rent'$$);
SELECT pg_temp.plant('another row as the effect of a key', 'I13 key ''rent'': transfer % is not what was asked%', format(
	$$UPDATE teller.key SET id = %1$L, result = jsonb_set(result, '{id}', to_jsonb(%1$L::text)) WHERE ledger_id = 341 AND key = 'rent'$$, :'settled'));
SELECT pg_temp.plant('the request time of a key', 'I13 key ''rent'': its answer does not say%',
	$$UPDATE teller.key SET request_time = '2020-01-01' WHERE ledger_id = 341 AND key = 'rent'$$);
SELECT pg_temp.plant('two keys of one effect', 'I13 keys ''rent'', ''twice''%',
	$$INSERT INTO teller.key SELECT ledger_id, 'twice', function, arguments, fingerprint, id, status, reason, result,
		created_at, request_time FROM teller.key WHERE ledger_id = 341 AND key = 'rent'$$);
SELECT pg_temp.plant('a key with a second row', 'I13 key ''free'': there are 2 rows of it',
	$$SELECT pg_temp.unguard('teller.key');
	INSERT INTO teller.key SELECT * FROM teller.key WHERE ledger_id = 341 AND key = 'free'$$);
SELECT pg_temp.plant('a denial turned into a success', 'I13 key ''denied''%',
	$$UPDATE teller.key SET status = 'posted' WHERE ledger_id = 341 AND key = 'denied'$$);
SELECT pg_temp.plant('a success turned into a denial', 'I13 key ''rent'': its answer%',
	$$UPDATE teller.key SET status = 'denied' WHERE ledger_id = 341 AND key = 'rent'$$);
SELECT pg_temp.plant('the count of a batch', 'I13 key ''payroll''%',
	$$UPDATE teller.key SET result = jsonb_set(result, '{count}', '2') WHERE ledger_id = 341 AND key = 'payroll'$$);
SELECT pg_temp.plant('the key of a release that was none', 'I13 key ''free'': release of hold%made no version 2', format(
	$$UPDATE teller.key SET result = jsonb_set(result, '{debit_version}', '2') WHERE ledger_id = 341 AND key = 'free'$$));
SELECT pg_temp.plant('keys pruned ahead of time', 'I13 key horizon: %',
	$$UPDATE teller.key_horizon SET pruned_until = clock_timestamp() + interval '1 day' WHERE ledger_id = 341$$);

-- Operations ---------------------------------------------------------------

SELECT pg_temp.plant('an operation without its hold', 'I12 operation %is missing%', format(
	'DELETE FROM teller.hold WHERE ledger_id = 341 AND hold_id = %L', :'held'));
SELECT pg_temp.plant('an open operation without its hold', 'I12 operation %in_doubt over 70.00%',
	$$UPDATE teller.operation_data SET state = 'in_doubt', ended_at = NULL WHERE ledger_id = 341$$);
SELECT pg_temp.plant('a hold without its operation', 'I12 hold % which does not exist',
	'DELETE FROM teller.operation_data WHERE ledger_id = 341');
SELECT pg_temp.plant('the memo of an operation', 'I15 operation %: its memo is not the hash%',
	$$UPDATE teller.operation_data SET memo = sha256('other') WHERE ledger_id = 341$$);
SELECT pg_temp.plant('the amount of an operation', 'I15 operation %: its memo is not the hash%',
	'UPDATE teller.operation_data SET amount = 71.00 WHERE ledger_id = 341');
SELECT pg_temp.plant('the origin in a request', 'I15 operation %: its memo is not the hash%',
	$$UPDATE teller.operation_data SET request = (request::jsonb || '{"origin": "x", "not_after": "y"}')::json WHERE ledger_id = 341$$);
SELECT pg_temp.plant('a second capture of an operation', 'I16 operation %: settled with 2 captures', format(
	'UPDATE teller.journal SET kind = ''capture'' WHERE ledger_id = 341 AND hold_id = %L', :'held'));
-- Queues: open operations of account 2, made from the one that is settled, each
-- with reentrancy, state and ticket.
CREATE FUNCTION pg_temp.line_up(VARIADIC lines text[]) RETURNS void LANGUAGE sql AS $$
	INSERT INTO teller.operation_data
	SELECT (jsonb_populate_record(o, jsonb_build_object('id', '01a1fa6b-0000-7000-8000-00000000341' || n,
		'nonce', line, 'memo', '\x' || encode(sha256(convert_to(line, 'UTF8')), 'hex'), 'ended_at', NULL,
		'reentrancy', split_part(line, ' ', 1), 'state', split_part(line, ' ', 2), 'ticket', split_part(line, ' ', 3)))).*
	FROM teller.operation_data AS o, unnest(lines) WITH ORDINALITY AS l (line, n) WHERE o.ledger_id = 341
$$;
SELECT pg_temp.plant('two of a queue that may be sent', 'I18 operation %341_: % was submitted before and is open',
	$$SELECT pg_temp.line_up('queue held 1', 'queue in_flight 2')$$);
SELECT pg_temp.plant('one of a queue beside an earlier one that did not wait', 'I18 operation %3412: % was submitted before and is open',
	$$SELECT pg_temp.line_up('allow in_doubt 1', 'queue retry_wait 2')$$);
SELECT pg_temp.plant('one that waits for nobody', 'I18 operation %3411: stashed, but no earlier operation%',
	$$SELECT pg_temp.line_up('queue stashed 1', 'allow held 2')$$);
SELECT pg_temp.plant('one that waits and need not', 'I18 operation %3412: stashed, but its reentrancy is allow',
	$$SELECT pg_temp.line_up('allow held 1', 'allow stashed 2')$$);
SELECT pg_temp.plant('one that should have been rejected', 'I18 operation %3412: % was submitted before and is open',
	$$SELECT pg_temp.line_up('allow held 1', 'reject in_doubt 2')$$);
SELECT pg_temp.plant('two with one ticket', 'I18 operation %3413: has the ticket of operation %',
	$$DROP INDEX teller.operation_open; SELECT pg_temp.line_up('queue held 1', 'queue stashed 2', 'queue stashed 2 too')$$);

-- Everything was taken back.
SELECT * FROM teller.verify(341, 'quick');
SELECT * FROM teller.verify();
