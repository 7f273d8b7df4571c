-- transfer_up_to: as much as there is, up to a maximum.
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
			' FROM teller.%I AS t WHERE ledger_id = 325', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(325);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(325, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(325, 2, 'USD', 'alice'),
	teller.open_account(325, 3, 'USD', 'bob'),
	teller.open_account(325, 4, 'USD', 'purse', max_balance => 50),
	teller.open_account(325, 5, 'USD', 'overdraft', min_balance => -25),
	teller.open_account(325, 6, 'JPY', 'yuki', min_balance => NULL),
	teller.open_account(325, 7, 'USD', 'reserve', min_balance => 10);
SELECT status FROM teller.transfer(325, 1, 2, 100);

-- All that was asked, where it is there: the row of a transfer.
SELECT id AS moved, status, amount, debit_balance, debit_version, credit_balance, credit_version, replayed
FROM teller.transfer_up_to(325, 2, 3, 30, metadata => '{"a": 1}') \gset
SELECT :'status', :amount, :debit_balance, :debit_version, :credit_balance, :credit_version, :'replayed';
SELECT kind, amount, debit_posted, credit_posted, metadata, effective_at = recorded_at, batch_id, reverses
FROM teller.journal WHERE ledger_id = 325 AND id = :'moved';
-- Exactly what there is; then what there is, to the cent.
SELECT status, amount, debit_balance FROM teller.transfer_up_to(325, 2, 3, 70);
SELECT status FROM teller.transfer(325, 3, 2, 99.99);
SELECT status, amount, debit_balance FROM teller.transfer_up_to(325, 2, 3, 100);
SELECT status, amount, debit_balance FROM teller.transfer_up_to(325, 3, 2, 99999999.99);
-- Nothing: denied, no row, never an error.
SELECT pg_temp.books() AS before \gset
SELECT id, status, reason, amount, debit_balance, debit_version, credit_balance, credit_version, replayed
FROM teller.transfer_up_to(325, 3, 2, 5);
SELECT pg_temp.books() = :'before';
SELECT pg_temp.says($$SELECT teller.transfer_up_to(325, 3, 2, 5, on_denial => 'raise')$$);

-- The limits: a minimum above zero stays, an overdraft goes to its end, a
-- purse is filled and no more.
SELECT status FROM teller.transfer(325, 1, 7, 30);
SELECT amount, debit_balance FROM teller.transfer_up_to(325, 7, 2, 100);
SELECT status, reason FROM teller.transfer_up_to(325, 7, 2, 100);
SELECT amount, debit_balance FROM teller.transfer_up_to(325, 5, 2, 100);
SELECT amount, credit_balance FROM teller.transfer_up_to(325, 1, 4, 20);
SELECT amount, credit_balance FROM teller.transfer_up_to(325, 1, 4, 100);
SELECT status, reason, amount FROM teller.transfer_up_to(325, 1, 4, 100);
SELECT pg_temp.says($$SELECT teller.transfer_up_to(325, 1, 4, 100, on_denial => 'raise')$$);
-- Without a limit on either side all is moved.
SELECT amount, debit_balance FROM teller.transfer_up_to(325, 1, 2, 1000000);
SELECT amount FROM teller.transfer_up_to(325, 2, 1, 999900);
-- The smaller of what one gives and the other takes.
SELECT posted FROM teller.balance(325, 4);
SELECT status FROM teller.transfer(325, 4, 1, 30);
SELECT posted FROM teller.balance(325, 3);
SELECT status FROM teller.transfer(325, 1, 3, 20);
SELECT amount, debit_balance, credit_balance FROM teller.transfer_up_to(325, 3, 4, 100);
SELECT status FROM teller.transfer(325, 1, 3, 20);
SELECT amount, debit_balance, credit_balance FROM teller.transfer_up_to(325, 3, 4, 100);
-- An account that was opened below its minimum has nothing to give.
SELECT teller.open_account(325, 8, 'USD', 'later', min_balance => 10);
SELECT status FROM teller.transfer(325, 1, 8, 5);
SELECT status, reason, amount FROM teller.transfer_up_to(325, 8, 2, 1);

-- Holds bind; one that is due does not.
SELECT posted FROM teller.balance(325, 2);
SELECT id AS h1 FROM teller.hold(325, 2, 3, 100, '1 hour') \gset
BEGIN;
SELECT amount FROM teller.transfer_up_to(325, 2, 1, 1000);
SELECT status FROM teller.transfer_up_to(325, 2, 1, 1000);
UPDATE teller.hold SET expires_at = clock_timestamp() - interval '1 second' WHERE ledger_id = 325 AND hold_id = :'h1';
SELECT amount, debit_balance FROM teller.transfer_up_to(325, 2, 1, 1000);
SELECT * FROM teller.verify(325);
ROLLBACK;
BEGIN;
SELECT status FROM teller.transfer(325, 4, 1, 30);
SELECT id AS h2 FROM teller.hold(325, 1, 4, 25, '1 hour') \gset
SELECT amount, credit_balance FROM teller.transfer_up_to(325, 1, 4, 100);
UPDATE teller.hold SET expires_at = clock_timestamp() - interval '1 second' WHERE ledger_id = 325 AND hold_id = :'h2';
SELECT amount, credit_balance FROM teller.transfer_up_to(325, 1, 4, 100);
SELECT * FROM teller.verify(325);
ROLLBACK;
SELECT status FROM teller.release(325, :'h1');

-- min_amount: with less, nothing.
SELECT posted AS p FROM teller.balance(325, 2) \gset
SELECT status, reason, amount FROM teller.transfer_up_to(325, 2, 1, 1000000, min_amount => :p + 0.01);
SELECT pg_temp.says(format($$SELECT teller.transfer_up_to(325, 2, 1, 1000000, %s, on_denial => 'raise')$$, :p + 0.01));
BEGIN;
SELECT status, amount = :p FROM teller.transfer_up_to(325, 2, 1, 1000000, min_amount => :p);
ROLLBACK;
SELECT amount FROM teller.transfer_up_to(325, 2, 1, 5, min_amount => 5);
SELECT amount FROM teller.transfer_up_to(325, 2, 1, 5, min_amount => 0.00);
SELECT status, reason FROM teller.transfer_up_to(325, 1, 4, 10, 0.01);

-- Wrong calls are errors, whatever is there.
SELECT amounts || E'\n\t' || pg_temp.says(format('SELECT teller.transfer_up_to(325, 2, 3, %s)', amounts))
FROM unnest(ARRAY['0', '-1', '''NaN''', '''Infinity''', '''-Infinity''', '1.005', '1e-100', '1e36', '1e1000',
	'5, -0.01', '5, -1', '5, ''NaN''', '5, ''Infinity''', '5, ''-Infinity''', '5, 1.005', '5, 5.01', '5, 1e36', '5, 1e1000']) AS amounts;
SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT teller.transfer_up_to(%s)', arguments))
FROM unnest(ARRAY['NULL, 2, 3, 5', '325, NULL, 3, 5', '325, 2, NULL, 5', '325, 2, 3, NULL', '325, 2, 3, 5, NULL',
	'325, 2, 3, 5, on_denial => NULL', '325, 2, 3, 5, on_denial => ''no''', '325, 2, 3, 5, on_denial => ''record''',
	'325, 2, 2, 5', '325, 2, 6, 5', '325, 2, 77, 5', '325, 77, 2, 5', '329, 1, 2, 5',
	'325, 2, 3, 5, metadata => ''1''', '325, 2, 3, 5, metadata => ''"x"''', '325, 2, 3, 5, key => ''''',
	'325, 2, 3, 5, key => ''k'', request_time => ''infinity''']) AS arguments;

-- Frozen and closed accounts have nothing to give or to take.
BEGIN;
UPDATE teller.account SET status = 'frozen_debit' WHERE ledger_id = 325 AND account_id = 2;
SELECT status, reason, amount FROM teller.transfer_up_to(325, 2, 3, 5);
SELECT pg_temp.says($$SELECT teller.transfer_up_to(325, 2, 3, 5, on_denial => 'raise')$$);
SELECT status, amount FROM teller.transfer_up_to(325, 1, 2, 5);
UPDATE teller.account SET status = 'closed' WHERE ledger_id = 325 AND account_id = 2;
SELECT status, reason, amount FROM teller.transfer_up_to(325, 1, 2, 5);
SELECT status, reason, amount FROM teller.transfer_up_to(325, 2, 1, 5);
ROLLBACK;

-- Keys: the amount of then is answered, though there is more now.
SELECT posted FROM teller.balance(325, 3);
SELECT status FROM teller.transfer(325, 1, 3, 7.77);
SELECT id AS first, amount, replayed FROM teller.transfer_up_to(325, 3, 1, 1000, key => 'sweep') \gset
SELECT :amount, :'replayed';
SELECT status FROM teller.transfer(325, 1, 3, 50);
SELECT pg_temp.books() AS before \gset
SELECT id = :'first', amount, debit_balance, replayed FROM teller.transfer_up_to(325, 3, 1, 1000.00, 0.00, key => 'sweep');
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
FROM unnest(ARRAY['transfer_up_to(325, 2, 1, 1000, key => ''sweep'')', 'transfer_up_to(325, 3, 2, 1000, key => ''sweep'')',
	'transfer_up_to(325, 3, 1, 1001, key => ''sweep'')', 'transfer_up_to(325, 3, 1, 1000, 1, key => ''sweep'')',
	'transfer_up_to(325, 3, 1, 1000, key => ''sweep'', metadata => ''{}'')',
	'transfer(325, 3, 1, 1000, key => ''sweep'')']) AS call;
SELECT pg_temp.books() = :'before';
SELECT function, status, result - ARRAY['id', 'debit_version', 'credit_version', 'credit_balance'] FROM teller.find(325, 'sweep');
-- A denial leaves the key free, or is kept where that is asked.
SELECT amount FROM teller.transfer_up_to(325, 3, 1, 1000);
SELECT status, replayed FROM teller.transfer_up_to(325, 3, 1, 1000, key => 'none');
SELECT count(*) FROM teller.find(325, 'none');
SELECT status, reason, amount, replayed FROM teller.transfer_up_to(325, 3, 1, 1000, key => 'kept', on_denial => 'record');
SELECT status FROM teller.transfer(325, 1, 3, 10);
SELECT status, reason, amount, replayed FROM teller.transfer_up_to(325, 3, 1, 1000, key => 'kept', on_denial => 'raise');
SELECT status, amount, replayed FROM teller.transfer_up_to(325, 3, 1, 1000, key => 'none', on_denial => 'record');

-- Sums that leave the range.
BEGIN;
SELECT teller.open_account(325, 11, 'USD', 'rich', min_balance => NULL),
	teller.open_account(325, 12, 'USD', 'richer', min_balance => NULL);
SELECT status FROM teller.transfer(325, 11, 12, 999999999999999999999999999999999999.99);
SELECT pg_temp.says('SELECT teller.transfer_up_to(325, 1, 12, 1)');
SELECT pg_temp.says('SELECT teller.transfer_up_to(325, 11, 1, 1)');
SELECT status, amount FROM teller.transfer_up_to(325, 12, 11, 999999999999999999999999999999999999.99);
ROLLBACK;
-- From as far below zero as can be to as far above.
BEGIN;
SELECT teller.open_account(325, 11, 'USD', 'low', min_balance => -900000000000000000000000000000000000),
	teller.open_account(325, 12, 'USD', 'high', min_balance => NULL);
SELECT status FROM teller.transfer(325, 12, 11, 900000000000000000000000000000000000);
SELECT amount, debit_balance FROM teller.transfer_up_to(325, 11, 12, 999999999999999999999999999999999999.99);
SELECT amount, debit_balance FROM teller.transfer_up_to(325, 11, 12, 999999999999999999999999999999999999.99);
ROLLBACK;

-- The clock does not go back; nothing in a read-only transaction.
BEGIN;
UPDATE teller.account SET last_at = '2100-01-01 00:00Z' WHERE ledger_id = 325 AND account_id = 2;
SELECT id AS late FROM teller.transfer_up_to(325, 1, 2, 1) \gset
SELECT recorded_at = '2100-01-01 00:00Z' FROM teller.journal WHERE ledger_id = 325 AND id = :'late';
ROLLBACK;
BEGIN READ ONLY;
SELECT pg_temp.says('SELECT teller.transfer_up_to(325, 1, 2, 1)');
ROLLBACK;
-- In one statement each call sees those before it.
SELECT i, amount FROM generate_series(1, 4) AS i,
	LATERAL teller.transfer_up_to(325, 2, 3, (SELECT posted / 2 + 10 * i FROM teller.balance(325, 2)));

-- ---- min_after and max_after of transfer -------------------------------------

-- What must be available on the debit account after the movement.
SELECT teller.open_account(325, 9, 'USD', 'conditions');
SELECT status FROM teller.transfer(325, 1, 9, 100);
SELECT debit_balance FROM teller.transfer(325, 9, 1, 10, min_after => 90);
SELECT pg_temp.says('SELECT teller.transfer(325, 9, 1, 10, min_after => 80.01)');
SELECT debit_balance FROM teller.transfer(325, 9, 1, 10, max_after => 80);
SELECT pg_temp.says('SELECT teller.transfer(325, 9, 1, 10, max_after => 69.99)');
SELECT debit_balance FROM teller.transfer(325, 9, 1, 10, min_after => 70, max_after => 70);
SELECT pg_temp.says('SELECT teller.transfer(325, 9, 1, 10, min_after => 61, max_after => 59)');
SELECT status, reason, amount FROM teller.transfer(325, 9, 1, 10, min_after => 61, on_denial => 'return');
SELECT status, reason, amount FROM teller.transfer(325, 9, 1, 10, max_after => 59, on_denial => 'return');
-- It counts what is held, and not what is due.
SELECT id AS h FROM teller.hold(325, 9, 3, 30, '1 hour') \gset
SELECT pg_temp.says('SELECT teller.transfer(325, 9, 1, 10, min_after => 30.01)');
BEGIN;
SELECT debit_balance FROM teller.transfer(325, 9, 1, 10, min_after => 30, max_after => 30);
ROLLBACK;
UPDATE teller.hold SET expires_at = clock_timestamp() - interval '1 second' WHERE ledger_id = 325 AND hold_id = :'h';
SELECT debit_balance FROM teller.transfer(325, 9, 1, 10, min_after => 60, max_after => 60);
-- An account without a minimum has conditions too, also below zero.
SELECT posted AS p FROM teller.balance(325, 1) \gset
SELECT debit_balance - :p FROM teller.transfer(325, 1, 9, 10, min_after => :p - 10);
SELECT pg_temp.says(format('SELECT teller.transfer(325, 1, 9, 10, min_after => %s)', :p - 19.99)) LIKE 'TL001: account 1 of ledger 325 would have too little%';
-- The want of money is told first; a frozen account before that.
SELECT pg_temp.says('SELECT teller.transfer(325, 9, 1, 1000, min_after => 1)');
-- They are amounts of the asset, and part of the request.
SELECT pg_temp.says('SELECT teller.transfer(325, 9, 1, 1, min_after => 0.001)');
SELECT pg_temp.says('SELECT teller.transfer(325, 9, 1, 1, max_after => ''NaN'')');
SELECT pg_temp.says('SELECT teller.transfer(325, 9, 1, 1, min_after => ''-Infinity'')');
SELECT pg_temp.says('SELECT teller.transfer(325, 9, 1, 1, max_after => 1e36)');
SELECT status FROM teller.transfer(325, 9, 1, 1, key => 'after', min_after => 1, max_after => 1000);
SELECT status, replayed FROM teller.transfer(325, 9, 1, 1, key => 'after', min_after => 1.00, max_after => 1e3);
SELECT pg_temp.says($$SELECT teller.transfer(325, 9, 1, 1, key => 'after', min_after => 2, max_after => 1000)$$);
SELECT pg_temp.says($$SELECT teller.transfer(325, 9, 1, 1, key => 'after', min_after => 1)$$);

-- ---- on_denial => 'record' of transfer and hold ----------------------------------

SELECT posted FROM teller.balance(325, 9);
SELECT id, status, reason, amount, debit_balance, replayed
FROM teller.transfer(325, 9, 1, 1000, key => 'refused', on_denial => 'record');
SELECT function, id, status, reason, result - ARRAY['credit_balance', 'debit_version', 'credit_version'] FROM teller.find(325, 'refused');
-- For ever, whatever the account has now and whatever on_denial says.
SELECT status FROM teller.transfer(325, 1, 9, 1000);
SELECT pg_temp.books() AS before \gset
SELECT id, status, reason, debit_balance, replayed FROM teller.transfer(325, 9, 1, 1000, key => 'refused', on_denial => 'record');
SELECT id, status, reason, debit_balance, replayed FROM teller.transfer(325, 9, 1, 1000, key => 'refused', on_denial => 'return');
SELECT id, status, reason, debit_balance, replayed FROM teller.transfer(325, 9, 1, 1000, key => 'refused');
SELECT pg_temp.says($$SELECT teller.transfer(325, 9, 1, 1001, key => 'refused')$$);
SELECT pg_temp.books() = :'before';
-- Nothing else of the books is touched by a denial that is recorded.
SELECT version FROM teller.balance(325, 9);
SELECT status FROM teller.transfer(325, 9, 1, 9999, key => 'refused too', on_denial => 'record');
SELECT version FROM teller.balance(325, 9);
-- What was done replays as done.
SELECT status FROM teller.transfer(325, 9, 1, 1, key => 'done', on_denial => 'record');
SELECT status, replayed FROM teller.transfer(325, 9, 1, 1, key => 'done', on_denial => 'record');
-- Every reason.
SELECT reason FROM teller.transfer(325, 9, 4, 1000, key => 'r1', on_denial => 'record');
SELECT reason FROM teller.transfer(325, 9, 1, 1, key => 'r2', expected_version => 0, on_denial => 'record');
SELECT reason FROM teller.transfer(325, 9, 1, 1, key => 'r3', max_after => 0, on_denial => 'record');
BEGIN;
UPDATE teller.account SET status = 'frozen' WHERE ledger_id = 325 AND account_id = 9;
SELECT reason FROM teller.transfer(325, 9, 1, 1, key => 'r4', on_denial => 'record');
SELECT reason FROM teller.hold(325, 9, 1, 1, key => 'r5', on_denial => 'record');
COMMIT;
UPDATE teller.account SET status = 'open' WHERE ledger_id = 325 AND account_id = 9;
SELECT status, reason, replayed FROM teller.transfer(325, 9, 1, 1, key => 'r4');
SELECT id, status, reason, expires_at, available, replayed FROM teller.hold(325, 9, 1, 1, key => 'r5');
-- A wrong call is not a denial, and needs its own key.
SELECT pg_temp.says($$SELECT teller.transfer(325, 9, 77, 1, key => 'wrong', on_denial => 'record')$$);
SELECT count(*) FROM teller.find(325, 'wrong');
SELECT pg_temp.says($$SELECT teller.transfer(325, 9, 1, 1, on_denial => 'record')$$);
SELECT pg_temp.says($$SELECT teller.hold(325, 9, 1, 1, on_denial => 'record')$$);
SELECT pg_temp.says($$SELECT teller.capture(325, '00000000-0000-7000-8000-000000000000', on_denial => 'record')$$);
-- A capture that comes too late.
SELECT status, reason, amount, replayed FROM teller.capture(325, :'h', key => 'late', on_denial => 'record');
SELECT status, reason, amount, replayed FROM teller.capture(325, :'h', key => 'late');
-- A recorded denial that is rolled back leaves the key free.
BEGIN;
SELECT status FROM teller.transfer(325, 9, 1, 99999, key => 'back', on_denial => 'record');
ROLLBACK;
SELECT count(*) FROM teller.find(325, 'back');

SELECT * FROM teller.verify();
