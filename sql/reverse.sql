-- reverse and reverse_batch: a movement the other way.
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
			' FROM teller.%I AS t WHERE ledger_id = 324', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
SELECT teller.create_ledger(324);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(324, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(324, 2, 'USD', 'alice'),
	teller.open_account(324, 3, 'USD', 'shop'),
	teller.open_account(324, 4, 'USD', 'purse', max_balance => 50),
	teller.open_account(324, 5, 'JPY', 'yen world', min_balance => NULL),
	teller.open_account(324, 6, 'JPY', 'yuki');
SELECT id AS paid FROM teller.transfer(324, 1, 2, 100, metadata => '{"order": 7}', effective_at => '2020-01-01 00:00Z') \gset

-- ---- in whole -----------------------------------------------------------------

SELECT status FROM teller.transfer(324, 1, 2, 5);
SELECT id AS back, status, reason, amount, debit_balance, debit_version, credit_balance, credit_version, replayed
FROM teller.reverse(324, :'paid') \gset
SELECT :'status', :amount, :debit_balance, :debit_version, :credit_balance, :credit_version, :'replayed';
-- Its row names the one it reverses; it is effective now; the first is as it was.
SELECT kind, debit_account, credit_account, amount, debit_version, debit_posted, credit_version, credit_posted,
	reverses = :'paid', hold_id, batch_id, operation_id, effective_at = recorded_at, metadata
FROM teller.journal WHERE ledger_id = 324 AND id = :'back';
SELECT kind, amount, reverses, metadata FROM teller.journal WHERE ledger_id = 324 AND id = :'paid';
SELECT account_id, posted, version FROM teller.account WHERE ledger_id = 324 AND version > 0 ORDER BY 1;
-- Once.
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'paid'));
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L, 0.01)', :'paid'));
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L, on_denial => ''return'')', :'paid'));

-- ---- in part --------------------------------------------------------------------

SELECT id AS paid FROM teller.transfer(324, 1, 2, 60) \gset
SELECT amount, debit_balance FROM teller.reverse(324, :'paid', 25);
SELECT amount FROM teller.reverse(324, :'paid', 25.00);
-- Never more than the original.
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L, 10.01)', :'paid'));
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L, 60)', :'paid'));
SELECT amount FROM teller.reverse(324, :'paid', 0.01);
-- Without an amount: what remains.
SELECT amount FROM teller.reverse(324, :'paid');
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'paid'));
SELECT count(*), sum(amount) FROM teller.journal WHERE ledger_id = 324 AND reverses = :'paid';
-- Exactly all, with an amount.
SELECT id AS paid FROM teller.transfer(324, 1, 2, 60) \gset
SELECT amount FROM teller.reverse(324, :'paid', 60);
-- Amounts as everywhere.
SELECT id AS paid FROM teller.transfer(324, 1, 2, 60) \gset
SELECT amount || E'\n\t' || pg_temp.says(format('SELECT teller.reverse(324, %L, %L)', :'paid', amount))
FROM unnest(ARRAY['0', '0.00', '-0', '-1', 'NaN', 'Infinity', '-Infinity', '1.005', '1e-100', '1e36', '1e1000']) AS amount;

-- ---- a capture, a row of a batch ---------------------------------------------------

SELECT id AS h FROM teller.hold(324, 2, 3, 40, '1 hour') \gset
SELECT id AS captured FROM teller.capture(324, :'h', 30, final => false) \gset
SELECT amount, debit_balance, credit_balance FROM teller.reverse(324, :'captured', 10);
SELECT amount FROM teller.reverse(324, :'captured');
-- The hold is as it was: what was captured stays captured.
SELECT amount, captured, released, state FROM teller.hold WHERE ledger_id = 324 AND hold_id = :'h';
SELECT posted, pending_debit, available FROM teller.balance(324, 2);
CREATE TEMP TABLE batch AS SELECT * FROM teller.post(324, '{1,1,2}', '{2,3,3}', '{10,20,5}');
SELECT id AS second FROM batch WHERE ordinal = 2 \gset
SELECT amount FROM teller.reverse(324, :'second', 15);

-- ---- what cannot be reversed: 55000 ---------------------------------------------------

SELECT id AS reversal FROM teller.journal WHERE ledger_id = 324 AND kind = 'reversal' LIMIT 1 \gset
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'reversal'));
SELECT teller.open_account(324, 7, 'USD', 'till');
SELECT status FROM teller.transfer(324, 1, 7, 50);
SELECT id AS h2 FROM teller.hold(324, 7, 3, 10, '1 hour') \gset
SELECT expires_at IS NOT NULL FROM teller.extend_hold(324, :'h2', '2 hours');
SELECT available FROM teller.adjust_hold(324, :'h2', 20);
SELECT status FROM teller.release(324, :'h2');
SELECT id AS h3 FROM teller.hold(324, 7, 3, 10, '1 hour') \gset
UPDATE teller.hold SET expires_at = clock_timestamp() - interval '1 second' WHERE ledger_id = 324 AND hold_id = :'h3';
SELECT teller.expire_due() >= 0;
SELECT kind || E'\n\t' || pg_temp.says(format('SELECT teller.reverse(324, %L)', id))
FROM teller.journal WHERE ledger_id = 324 AND debit_account = 7 ORDER BY debit_version;
-- A row of an operation is undone by another operation.
BEGIN;
UPDATE teller.journal SET operation_id = '00000000-0000-7000-8000-000000000324'
WHERE ledger_id = 324 AND id = :'paid';
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'paid'));
ROLLBACK;
-- What is not there, or is another ledger's.
SELECT pg_temp.says($$SELECT teller.reverse(324, '00000000-0000-7000-8000-000000000000')$$);
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'h'));
SELECT pg_temp.says(format('SELECT teller.reverse(329, %L)', :'paid'));
SELECT pg_temp.says(format('SELECT teller.reverse(NULL, %L)', :'paid'));
SELECT pg_temp.says('SELECT teller.reverse(324, NULL)');
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L, on_denial => NULL)', :'paid'));
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L, on_denial => ''perhaps'')', :'paid'));

-- ---- limits: what was paid on cannot come back -----------------------------------------

SELECT posted, available FROM teller.balance(324, 2);
SELECT id AS spent FROM teller.transfer(324, 1, 7, 100) \gset
SELECT status FROM teller.transfer(324, 7, 3, 100);
SELECT posted FROM teller.balance(324, 7);
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'spent'));
SELECT status, reason, id, amount, debit_balance, credit_balance FROM teller.reverse(324, :'spent', on_denial => 'return');
SELECT amount, debit_balance FROM teller.reverse(324, :'spent', 50);
-- The other side may be full.
SELECT id AS filled FROM teller.transfer(324, 1, 4, 50) \gset
SELECT id AS emptied FROM teller.transfer(324, 4, 1, 30) \gset
SELECT status FROM teller.transfer(324, 1, 4, 20);
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'emptied'));
SELECT amount, credit_balance FROM teller.reverse(324, :'emptied', 10);
-- Frozen and closed accounts: each way.
SELECT debit_balance FROM teller.reverse(324, :'filled', 1);
BEGIN;
UPDATE teller.account SET status = 'frozen_debit' WHERE ledger_id = 324 AND account_id = 4;
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'filled'));
SELECT status, reason FROM teller.reverse(324, :'filled', on_denial => 'return');
UPDATE teller.account SET status = 'frozen_credit' WHERE ledger_id = 324 AND account_id = 4;
SELECT debit_balance FROM teller.reverse(324, :'filled', 1);
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L, 1)', :'emptied'));
UPDATE teller.account SET status = 'closed' WHERE ledger_id = 324 AND account_id = 4;
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'filled'));
ROLLBACK;

-- ---- keys -----------------------------------------------------------------------------

SELECT id AS paid FROM teller.transfer(324, 1, 2, 80) \gset
SELECT id AS first, amount, debit_balance AS balance, replayed FROM teller.reverse(324, :'paid', 30, key => 'refund') \gset
SELECT :amount, :'replayed';
SELECT pg_temp.books() AS before \gset
SELECT id = :'first', amount, debit_balance = :balance, replayed FROM teller.reverse(324, :'paid', 30.00, key => 'refund');
SELECT pg_temp.says(format($$SELECT teller.reverse(324, %L, 31, key => 'refund')$$, :'paid'));
SELECT pg_temp.says(format($$SELECT teller.reverse(324, %L, key => 'refund')$$, :'paid'));
SELECT pg_temp.says(format($$SELECT teller.reverse(324, %L, 30, key => 'refund')$$, :'spent'));
SELECT pg_temp.says($$SELECT teller.transfer(324, 2, 1, 30, key => 'refund')$$);
SELECT pg_temp.books() = :'before';
SELECT amount, replayed FROM teller.reverse(324, :'paid', key => 'rest');
-- When all is reversed a repeat is answered, a new request is refused.
SELECT amount, replayed FROM teller.reverse(324, :'paid', key => 'rest');
SELECT pg_temp.says(format($$SELECT teller.reverse(324, %L, key => 'more')$$, :'paid'));
SELECT function, status, result - ARRAY['id', 'debit_version', 'credit_version', 'debit_balance', 'credit_balance'] FROM teller.find(324, 'rest');
SELECT count(*) FROM teller.find(324, 'more');
-- A denial is kept under its key where that is asked.
SELECT status, reason, replayed FROM teller.reverse(324, :'spent', key => 'spent', on_denial => 'record');
SELECT status FROM teller.transfer(324, 1, 7, 50);
SELECT status, reason, replayed FROM teller.reverse(324, :'spent', key => 'spent', on_denial => 'record');
SELECT status, reason, replayed FROM teller.reverse(324, :'spent', key => 'spent');
SELECT status, replayed FROM teller.reverse(324, :'spent', key => 'spent 2');
SELECT pg_temp.says(format($$SELECT teller.reverse(324, %L, on_denial => 'record')$$, :'spent'));
-- More than remains is an error that is not recorded.
SELECT pg_temp.says(format($$SELECT teller.reverse(324, %L, 1000, key => 'unrecorded', on_denial => 'record')$$, :'filled'));
SELECT count(*) FROM teller.find(324, 'unrecorded');

-- ---- a whole batch ---------------------------------------------------------------------

-- Of the batch above the second row is reversed in part: it gives its rest.
SELECT batch_id AS batch FROM batch LIMIT 1 \gset
CREATE TEMP TABLE undone AS SELECT * FROM teller.reverse_batch(324, :'batch');
SELECT ordinal, status, amount, debit_balance, credit_balance, replayed, batch_id <> :'batch' FROM undone ORDER BY ordinal;
SELECT u.ordinal, b.ordinal, j.kind, j.debit_account, j.credit_account, j.amount, j.batch_id = u.batch_id,
	substr(j.id::text, 29), j.effective_at = j.recorded_at
FROM undone AS u JOIN teller.journal AS j ON j.ledger_id = 324 AND j.id = u.id
JOIN batch AS b ON b.id = j.reverses ORDER BY 1;
SELECT pg_temp.says(format('SELECT teller.reverse_batch(324, %L)', :'batch'));
-- Rows that are reversed already are left out; the others come first to last.
SELECT batch_id AS batch, min(id::text) FILTER (WHERE ordinal = 1) AS first
FROM teller.post(324, '{1,1,1}', '{2,3,2}', '{1,2,3}') GROUP BY 1 \gset
SELECT amount FROM teller.reverse(324, :'first');
SELECT ordinal, amount, substr(id::text, 29) FROM teller.reverse_batch(324, :'batch');
-- All or nothing.
SELECT posted FROM teller.balance(324, 7);
SELECT batch_id AS batch FROM teller.post(324, '{1,1}', '{7,2}', '{100,1}') LIMIT 1 \gset
SELECT status FROM teller.transfer(324, 7, 1, 50.01);
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says(format($$SELECT teller.reverse_batch(324, %L, key => 'all')$$, :'batch'));
SELECT pg_temp.books() = :'before';
SELECT status FROM teller.transfer(324, 1, 7, 50.01);
SELECT ordinal, amount, replayed FROM teller.reverse_batch(324, :'batch', key => 'all');
SELECT pg_temp.books() AS before \gset
SELECT ordinal, amount, replayed FROM teller.reverse_batch(324, :'batch', key => 'all');
SELECT pg_temp.books() = :'before';
-- Limits count on the whole: money that went round comes back round.
SELECT teller.open_account(324, 8, 'USD', 'through');
SELECT batch_id AS batch FROM teller.post(324, '{8,1}', '{1,8}', '{700,700}') LIMIT 1 \gset
SELECT pg_temp.says(format($$SELECT teller.reverse_batch(324, %L, key => 'all')$$, :'batch'));
SELECT ordinal, amount, debit_balance, credit_balance FROM teller.reverse_batch(324, :'batch');
-- Two assets.
SELECT teller.open_account(324, 20, 'USD', 'liquidity usd', min_balance => NULL),
	teller.open_account(324, 21, 'JPY', 'liquidity jpy', min_balance => NULL);
SELECT status FROM teller.transfer(324, 1, 2, 100);
SELECT batch_id AS batch FROM teller.post(324, '{2,21}', '{20,6}', '{100,15000}') LIMIT 1 \gset
SELECT ordinal, amount, debit_balance FROM teller.reverse_batch(324, :'batch');
-- What a batch in independent mode posted can be reversed too.
SELECT batch_id AS batch FROM teller.post(324, '{8,1}', '{1,2}', '{1,1}', mode => 'independent') LIMIT 1 \gset
SELECT ordinal, amount FROM teller.reverse_batch(324, :'batch');
-- A batch under a key replays though it was reversed since.
SELECT batch_id AS batch FROM teller.post(324, '{1,1}', '{2,3}', '{1,2}', key => 'undone') LIMIT 1 \gset
SELECT amount FROM teller.reverse_batch(324, :'batch');
SELECT batch_id = :'batch', amount, replayed FROM teller.post(324, '{1,1}', '{2,3}', '{1,2}', key => 'undone');
-- As large as may be.
SELECT batch_id AS batch FROM teller.post(324, array_fill(1, ARRAY[10000])::bigint[],
	array_fill(2, ARRAY[10000])::bigint[], array_fill(0.01, ARRAY[10000])::numeric[]) LIMIT 1 \gset
SELECT count(*), sum(amount), count(DISTINCT id) FROM teller.reverse_batch(324, :'batch');
-- What is no batch, or a batch of reversals.
SELECT batch_id AS reversals FROM undone LIMIT 1 \gset
SELECT pg_temp.says(format('SELECT teller.reverse_batch(324, %L)', :'reversals'));
SELECT pg_temp.says($$SELECT teller.reverse_batch(324, '00000000-0000-7000-8000-000000000000')$$);
SELECT pg_temp.says(format('SELECT teller.reverse_batch(324, %L)', :'paid'));
SELECT pg_temp.says(format('SELECT teller.reverse_batch(329, %L)', :'batch'));
SELECT pg_temp.says(format('SELECT teller.reverse_batch(NULL, %L)', :'batch'));
SELECT pg_temp.says('SELECT teller.reverse_batch(324, NULL)');
SELECT pg_temp.says(format($$SELECT teller.reverse_batch(324, %L, key => '')$$, :'batch'));
-- The id of one of its rows is no batch.
SELECT batch_id AS batch, min(id::text) AS first FROM teller.post(324, '{1,1}', '{2,3}', '{1,2}') GROUP BY 1 \gset
SELECT pg_temp.says(format('SELECT teller.reverse_batch(324, %L)', :'first'));
-- A frozen account stops it.
BEGIN;
UPDATE teller.account SET status = 'frozen_debit' WHERE ledger_id = 324 AND account_id = 3;
SELECT pg_temp.says(format('SELECT teller.reverse_batch(324, %L)', :'batch'));
ROLLBACK;
-- A row of an operation.
BEGIN;
UPDATE teller.journal SET operation_id = '00000000-0000-7000-8000-000000000324'
WHERE ledger_id = 324 AND id = :'first';
SELECT pg_temp.says(format('SELECT teller.reverse_batch(324, %L)', :'batch'));
ROLLBACK;

-- ---- around it -----------------------------------------------------------------------------

-- What a reversal undoes never exceeds the original (I21).
SELECT count(*) FROM (SELECT reverses, sum(amount) AS undone FROM teller.journal
	WHERE ledger_id = 324 AND kind = 'reversal' GROUP BY 1) AS r
JOIN teller.journal AS j ON j.ledger_id = 324 AND j.id = r.reverses WHERE r.undone > j.amount;
-- The clock does not go back.
BEGIN;
UPDATE teller.account SET last_at = '2100-01-01 00:00Z' WHERE ledger_id = 324 AND account_id = 2;
SELECT id AS paid FROM teller.transfer(324, 1, 2, 1) \gset
SELECT id AS back FROM teller.reverse(324, :'paid') \gset
SELECT recorded_at = '2100-01-01 00:00Z' FROM teller.journal WHERE ledger_id = 324 AND id = :'back';
ROLLBACK;
-- In the transaction that paid, at every level; and after a savepoint.
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT id AS paid FROM teller.transfer(324, 1, 2, 9) \gset
SAVEPOINT s;
SELECT amount FROM teller.reverse(324, :'paid');
ROLLBACK TO s;
SELECT amount FROM teller.reverse(324, :'paid', 4);
SELECT amount FROM teller.reverse(324, :'paid');
COMMIT;
-- In one statement each call sees those before it.
SELECT id AS paid FROM teller.transfer(324, 1, 2, 5) \gset
SELECT count(*), sum(amount) FROM generate_series(1, 5) AS i, LATERAL teller.reverse(324, :'paid', 1 + 0 * i);
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'paid'));
BEGIN READ ONLY;
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'emptied'));
SELECT pg_temp.says(format('SELECT teller.reverse_batch(324, %L)', :'batch'));
ROLLBACK;
-- The right is post.
CREATE ROLE regress_reverse;
GRANT USAGE ON SCHEMA teller TO regress_reverse;
SELECT teller.grant_ledger(324, 'regress_reverse', 'read');
SET ROLE regress_reverse;
SELECT pg_temp.says(format('SELECT teller.reverse(324, %L)', :'emptied'));
SELECT pg_temp.says(format('SELECT teller.reverse_batch(324, %L)', :'batch'));
SELECT pg_temp.says(format('SELECT teller.reverse(329, %L)', :'emptied'));
RESET ROLE;
SELECT teller.grant_ledger(324, 'regress_reverse', 'post');
SET ROLE regress_reverse;
SELECT amount FROM teller.reverse(324, :'emptied', 0.01);
SELECT amount FROM teller.reverse_batch(324, :'batch');
RESET ROLE;
SELECT teller.revoke_ledger(324, 'regress_reverse');
REVOKE USAGE ON SCHEMA teller FROM regress_reverse;
DROP ROLE regress_reverse;

SELECT * FROM teller.verify();
