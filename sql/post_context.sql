-- Which item of a batch an error is about: in its CONTEXT, for post,
-- reverse_batch and import_journal.
\pset format unaligned
\pset tuples_only on
-- What a program finds of an error's CONTEXT: the item comes first.
CREATE FUNCTION pg_temp.context(statement text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	context text;
BEGIN
	EXECUTE format('DO $do$ BEGIN %s; END $do$', statement);
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS context = PG_EXCEPTION_CONTEXT;
	RETURN sqlstate || ': ' || coalesce(substring(context FROM '^item [0-9]+ of the batch'), 'no item');
END
$$;
SELECT teller.create_ledger(346);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(346, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(346, 2, 'USD', 'alice'),
	teller.open_account(346, 3, 'USD', 'bob'),
	teller.open_account(346, 4, 'JPY', 'yuki'),
	teller.open_account(346, 5, 'USD', 'frozen'),
	teller.open_account(346, 6, 'USD', 'huge', min_balance => NULL);
SELECT status FROM teller.post(346, '{1,1,1}', '{2,3,5}', '{100,100,100}', keys => '{a,b,c}');
SELECT teller.freeze_account(346, 5);

-- ---- an item as it was passed --------------------------------------------------

SELECT * FROM teller.post(346, '{1,2,1}', '{2,2,3}', '{1,1,1}');
SELECT * FROM teller.post(346, '{1,1,1}', '{2,2,3}', '{1,1,0}');
SELECT * FROM teller.post(346, '{1,1}', '{2,2}', '{NaN,1}', mode => 'independent');
SELECT * FROM teller.post(346, '{1,1}', '{2,2}', '{1,1}', expected_versions => '{NULL,-1}');
SELECT * FROM teller.post(346, '{1,1}', '{2,2}', '{1,1}', metadata => '{"{}","1"}');
SELECT * FROM teller.post(346, '{1,1}', '{2,2}', '{1,1}', keys => '{k,""}');
SELECT * FROM teller.import_journal(346, '{1,1}', '{2,2}', '{1,1}', '{2019-01-01 00:00Z,infinity}', '{k,l}');
-- The place in the array, not its subscript.
SELECT * FROM teller.post(346, '[5:6]={1,2}'::bigint[], '{2,2}', '{1,1}');
-- Arrays and arguments of the whole batch are no one item's.
SELECT * FROM teller.post(346, '{1,1}', '{2}', '{1,1}');
SELECT * FROM teller.post(346, '{1,1}', '{2,2}', '{1,NULL}');
SELECT * FROM teller.post(346, '{1,1}', '{2,2}', '{1,1}', effective_at => 'infinity');
SELECT * FROM teller.post(346, '{1,1}', '{2,2}', '{1,1}', keys => '{k,l}', request_time => '-infinity');

-- ---- its keys ------------------------------------------------------------------

-- Known with other arguments; the same key twice; denied before.
SELECT * FROM teller.post(346, '{1,1,1}', '{2,2,3}', '{1,1,99}', keys => '{z,y,b}');
SELECT * FROM teller.post(346, '{1,1,1}', '{2,3,2}', '{1,1,2}', keys => '{n,m,n}');
SELECT * FROM teller.import_journal(346, '{1,1}', '{2,3}', '{1,1}', '{2019-01-01 00:00Z,2019-01-02 00:00Z}', '{a,o}');
SELECT status FROM teller.transfer(346, 3, 2, 1000, key => 'denied', on_denial => 'record');
SELECT * FROM teller.post(346, '{1,3}', '{2,2}', '{1,1000}', keys => '{z,denied}');

-- ---- its accounts ----------------------------------------------------------------

-- Other assets, more decimals than the asset has; the mode is the same.
SELECT * FROM teller.post(346, '{1,1}', '{2,4}', '{1,1}');
SELECT * FROM teller.post(346, '{1,1}', '{2,2}', '{1,1.005}', mode => 'independent');
-- Versions and frozen accounts are tested item by item.
SELECT * FROM teller.post(346, '{1,3}', '{2,2}', '{1,1}', expected_versions => '{NULL,0}');
SELECT * FROM teller.post(346, '{1,1,5}', '{2,3,2}', '{1,1,1}');
SELECT * FROM teller.post(346, '{1,1,1}', '{2,5,3}', '{1,1,1}');
-- An account that is not there is missed before any item is decided.
SELECT * FROM teller.post(346, '{1,1}', '{2,77}', '{1,1}');
-- Of what an account loses in all no item is the cause.
SELECT * FROM teller.post(346, '{2,2}', '{3,1}', '{60,60}');
-- A balance that leaves its range at one item, though not in all.
SELECT status FROM teller.transfer(346, 6, 1, 999999999999999999999999999999999998);
SELECT * FROM teller.post(346, '{6,6,1}', '{2,1,6}', '{1,1,3}');
SELECT * FROM teller.post(346, '{1,6,6}', '{3,2,1}', '{1,1,1}', mode => 'independent');

-- ---- closed periods -------------------------------------------------------------

SELECT teller.close_period(346, '2020-01-01 00:00Z');
SELECT * FROM teller.import_journal(346, '{1,1,1}', '{2,2,2}', '{1,1,1}',
	'{2021-01-01 00:00Z,2019-01-01 00:00Z,2019-06-01 00:00Z}', '{p,q,r}');
-- One time for all of them.
SELECT * FROM teller.post(346, '{1,1}', '{2,2}', '{1,1}', effective_at => '2019-01-01 00:00Z');

-- ---- reverse_batch: the places in the batch that is reversed ---------------------------

SELECT batch_id AS batch FROM teller.post(346, '{1,2,3}', '{2,3,1}', '{1,1,1}') LIMIT 1 \gset
SELECT id AS first FROM teller.journal WHERE ledger_id = 346 AND batch_id = :'batch' ORDER BY id LIMIT 1 \gset
SELECT status FROM teller.reverse(346, :'first');
SELECT teller.freeze_account(346, 3, 'debit');
SELECT * FROM teller.reverse_batch(346, :'batch');
SELECT teller.unfreeze_account(346, 3);
SELECT batch_id AS undo FROM teller.reverse_batch(346, :'batch') LIMIT 1 \gset

-- What is reversed already, or is a reversal itself.
SELECT pg_temp.context(format('PERFORM teller.reverse_batch(346, %L)', batch))
FROM unnest(ARRAY[:'batch', :'undo']) AS batch;

-- Not for what is called afterwards.
SELECT * FROM teller.transfer(346, 2, 2, 1);

SELECT * FROM teller.verify();
