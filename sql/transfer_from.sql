-- transfer_from: one amount out of several accounts, in the order given.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without ids and times.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
	context text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT, context = PG_EXCEPTION_CONTEXT;
	RETURN regexp_replace(regexp_replace(concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''),
		CASE WHEN context LIKE 'item %' THEN context END),
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
			' FROM teller.%I AS t WHERE ledger_id = 351', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(whole);
END
$$;
-- What a call answers, without ids.
CREATE FUNCTION pg_temp.pay(debits bigint[], amount numeric, credit bigint DEFAULT 9, key text DEFAULT NULL,
	on_denial text DEFAULT 'raise')
RETURNS TABLE (ordinal integer, status text, reason text, amount numeric,
	debit_balance numeric, debit_version bigint,
	credit_balance numeric, credit_version bigint, replayed boolean)
LANGUAGE sql AS $$
	SELECT p.ordinal, p.status, p.reason, p.amount, p.debit_balance, p.debit_version,
		p.credit_balance, p.credit_version, p.replayed
	FROM teller.transfer_from(351, debits, credit, pay.amount, pay.key, on_denial => pay.on_denial) AS p
$$;
SELECT teller.create_ledger(351);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(351, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(351, 2, 'USD', 'bonus'),
	teller.open_account(351, 3, 'USD', 'gift card'),
	teller.open_account(351, 4, 'USD', 'overdraft', min_balance => -25),
	teller.open_account(351, 5, 'USD', 'reserve', min_balance => 10),
	teller.open_account(351, 6, 'JPY', 'yuki', min_balance => NULL),
	teller.open_account(351, 7, 'USD', 'purse', max_balance => 50),
	teller.open_account(351, 8, 'USD', 'empty'),
	teller.open_account(351, 9, 'USD', 'shop');
-- Each test begins with 100, 50, 0 and 30.
CREATE FUNCTION pg_temp.fill() RETURNS void LANGUAGE sql AS $$
	SELECT count(teller.transfer_up_to(351, account, 1, 1e9))
	FROM unnest(ARRAY[2, 3, 7, 9]::bigint[]) AS account;
	SELECT count(teller.transfer(351, 1, account, wanted - posted))
	FROM (VALUES (2, 100), (3, 50), (4, 0), (5, 30)) AS w (account, wanted), LATERAL teller.balance(351, account)
	WHERE wanted > posted;
$$;
SELECT pg_temp.fill();

-- The first account gives what it has, then the next, until the amount is
-- reached; a row for each that pays, with the balances after it.
SELECT * FROM pg_temp.pay('{2,3,4}', 120);
SELECT account_id, posted, version FROM teller.account WHERE ledger_id = 351 AND account_id BETWEEN 2 AND 5 ORDER BY 1;
-- The order is that of the array, not that of the ids.
SELECT pg_temp.fill();
SELECT ordinal, amount, debit_balance FROM pg_temp.pay('{3,2}', 120);
-- The first has enough: the others are not touched.
SELECT pg_temp.fill();
SELECT version AS v3 FROM teller.balance(351, 3) \gset
SELECT ordinal, amount, debit_balance FROM pg_temp.pay('{2,3}', 100);
SELECT version - :v3 FROM teller.balance(351, 3);
-- Nobody who has nothing to give gets a row: ordinals count those who pay.
SELECT pg_temp.fill();
SELECT ordinal, amount, debit_balance FROM pg_temp.pay('{8,2,3}', 101);
SELECT version FROM teller.balance(351, 8);
-- All that they have together, to the cent; and a cent more.
SELECT pg_temp.fill();
SELECT pg_temp.books() AS before \gset
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2,3,8}'', 9, 150.01)');
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2}'', 9, 100.01)');
SELECT pg_temp.books() = :'before';
SELECT ordinal, amount, debit_balance, credit_balance FROM pg_temp.pay('{2,3,8}', 150);
-- One account alone; a cent.
SELECT pg_temp.fill();
SELECT ordinal, amount FROM pg_temp.pay('{2}', 0.01);
-- A lower bound other than 1.
SELECT ordinal, amount FROM pg_temp.pay('[5:6]={3,2}', 50.01);

-- Limits: an overdraft is given to its end, a reserve stays, an account
-- without a minimum gives all the rest.
SELECT pg_temp.fill();
SELECT ordinal, amount, debit_balance FROM pg_temp.pay('{5,4,2}', 50);
SELECT pg_temp.fill();
SELECT ordinal, amount FROM pg_temp.pay('{2,1,3}', 1000);
-- Below its minimum by force: nothing to give, and nothing taken off the sum.
BEGIN;
SELECT pg_temp.fill();
SELECT teller.set_limits(351, 3, 80, NULL, force => true);
SELECT ordinal, amount FROM pg_temp.pay('{3,2}', 100);
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{3,2}'', 9, 0.01)');
ROLLBACK;
-- The credit account's maximum is for the sum.
BEGIN;
SELECT pg_temp.fill();
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{3,2}'', 7, 50.01)');
SELECT ordinal, amount, credit_balance FROM pg_temp.pay('{3,2}', 50, credit => 7);
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{3,2}'', 7, 0.01)');
ROLLBACK;

-- Holds bind; one that is due does not.
BEGIN;
SELECT pg_temp.fill();
SELECT id AS h FROM teller.hold(351, 2, 9, 60, '1 hour') \gset
SELECT ordinal, amount, debit_balance FROM pg_temp.pay('{2,3}', 45);
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2,3}'', 9, 45.01)');
UPDATE teller.hold SET expires_at = clock_timestamp() - interval '1 second' WHERE ledger_id = 351 AND hold_id = :'h';
SELECT ordinal, amount, debit_balance FROM pg_temp.pay('{2,3}', 61);
SELECT * FROM teller.verify(351);
ROLLBACK;

-- Frozen or closed: refused when its turn comes, whatever it has; not before.
BEGIN;
SELECT pg_temp.fill();
SELECT teller.freeze_account(351, 3, 'debit');
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2,3,1}'', 9, 100.01)');
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{3,2}'', 9, 1)');
SELECT ordinal, amount FROM pg_temp.pay('{2,3}', 100);
SELECT teller.freeze_account(351, 8, 'credit');
SELECT ordinal, amount FROM pg_temp.pay('{8,1}', 1);
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{1}'', 8, 1)');
SELECT teller.unfreeze_account(351, 8);
SELECT teller.close_account(351, 8);
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{8,1}'', 9, 1)');
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{1}'', 8, 1)');
SELECT reason FROM pg_temp.pay('{3,1}', 1, on_denial => 'return');
ROLLBACK;

-- The journal: transfers of one batch, at one moment, with the metadata and the
-- effective time of the call.
SELECT pg_temp.fill();
CREATE TEMP TABLE paid AS
	SELECT * FROM teller.transfer_from(351, '{3,2}', 9, 60, effective_at => '2026-01-01 00:00Z', metadata => '{"order": 5}');
SELECT count(DISTINCT batch_id), count(DISTINCT id),
	bool_and(substr(batch_id::text, 1, 28) = substr(id::text, 1, 28)) FROM paid;
SELECT j.kind, j.debit_account, j.credit_account, j.amount, j.metadata, j.effective_at = '2026-01-01 00:00Z',
	j.debit_posted = p.debit_balance AND j.debit_version = p.debit_version
		AND j.credit_posted = p.credit_balance AND j.credit_version = p.credit_version
FROM paid AS p JOIN teller.journal AS j ON j.ledger_id = 351 AND j.id = p.id AND j.batch_id = p.batch_id
ORDER BY p.ordinal;
SELECT count(DISTINCT recorded_at) FROM teller.journal WHERE ledger_id = 351 AND batch_id IN (SELECT batch_id FROM paid);
-- Each row can be reversed, or all of them.
SELECT r.amount FROM paid AS p, LATERAL teller.reverse(351, p.id, 4) AS r WHERE p.ordinal = 2;
SELECT ordinal, amount, credit_balance FROM teller.reverse_batch(351, (SELECT min(batch_id::text)::uuid FROM paid));
SELECT posted FROM teller.balance(351, 2) UNION ALL SELECT posted FROM teller.balance(351, 3);

-- Keys: the same rows again, though the accounts have other balances now.
SELECT pg_temp.fill();
CREATE TEMP TABLE first AS SELECT * FROM teller.transfer_from(351, '{3,2}', 9, 60, 'order 1', metadata => '{"a": 1}');
SELECT ordinal, amount, replayed FROM first ORDER BY 1;
SELECT pg_temp.fill();
SELECT pg_temp.books() AS before \gset
SELECT count(*) FROM (SELECT ordinal, batch_id, id, status, reason, amount, debit_balance, debit_version,
		credit_balance, credit_version, NOT replayed FROM first
	INTERSECT SELECT ordinal, batch_id, id, status, reason, amount, debit_balance, debit_version,
		credit_balance, credit_version, replayed
	FROM teller.transfer_from(351, '{3,2}', 9, 60.00, 'order 1', metadata => '{"a": 1}', on_denial => 'return')) AS same;
SELECT call || E'\n\t' || pg_temp.says('SELECT teller.' || call)
FROM unnest(ARRAY['transfer_from(351, ''{2,3}'', 9, 60, ''order 1'', metadata => ''{"a": 1}'')',
	'transfer_from(351, ''{3,2,4}'', 9, 60, ''order 1'', metadata => ''{"a": 1}'')',
	'transfer_from(351, ''{3,2}'', 1, 60, ''order 1'', metadata => ''{"a": 1}'')',
	'transfer_from(351, ''{3,2}'', 9, 61, ''order 1'', metadata => ''{"a": 1}'')',
	'transfer_from(351, ''{3,2}'', 9, 60, ''order 1'', metadata => ''{"a": 2}'')',
	'transfer_from(351, ''{3,2}'', 9, 60, ''order 1'', ''2026-01-01 00:00Z'', ''{"a": 1}'')',
	'transfer_from(351, ''{3,2}'', 9, 60, ''order 1'', metadata => ''{"a": 1}'', request_time => ''2026-01-01 00:00Z'')',
	'transfer(351, 3, 9, 60, ''order 1'')', 'post(351, ''{3,2}'', ''{9,9}'', ''{50,10}'', key => ''order 1'')']) AS call;
SELECT pg_temp.books() = :'before';
-- Whatever has become of the accounts since.
BEGIN;
SELECT teller.freeze_account(351, 2);
SELECT ordinal, replayed FROM teller.transfer_from(351, '{3,2}', 9, 60, 'order 1', metadata => '{"a": 1}');
ROLLBACK;
SELECT function, status, reason, result - 'batch_id' FROM teller.find(351, 'order 1');
-- Twice in one statement: one effect.
SELECT (answer).status, (answer).ordinal FROM (SELECT teller.transfer_from(351, '{3,2}', 9, 55, 'twice') AS answer) AS call;
SELECT count(*) FROM teller.journal AS j, teller.find(351, 'twice') AS f WHERE j.ledger_id = 351 AND j.batch_id = f.id;
-- Keys differing by case or a blank at the end are others.
SELECT pg_temp.fill();
SELECT replayed FROM pg_temp.pay('{2}', 1, key => 'Twice');
SELECT replayed FROM pg_temp.pay('{2}', 1, key => 'twice ');

-- Denials: an error; or one row, with the key free or used up.
SELECT pg_temp.fill();
SELECT pg_temp.books() AS before \gset
SELECT * FROM pg_temp.pay('{2,3}', 151, on_denial => 'return');
SELECT batch_id, id FROM teller.transfer_from(351, '{2,3}', 9, 151, on_denial => 'return');
SELECT reason FROM pg_temp.pay('{2,3}', 51, credit => 7, on_denial => 'return');
SELECT * FROM pg_temp.pay('{2,3}', 151, key => 'poor', on_denial => 'return');
SELECT count(*) FROM teller.find(351, 'poor');
SELECT pg_temp.books() = :'before';
SELECT * FROM pg_temp.pay('{2,3}', 151, key => 'poor', on_denial => 'record');
SELECT status FROM teller.transfer(351, 1, 2, 1000);
SELECT * FROM pg_temp.pay('{2,3}', 151, key => 'poor');
SELECT function, id, status, reason, result FROM teller.find(351, 'poor');
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2,3}'', 9, 151, on_denial => ''record'')');
-- A wrong call is no denial.
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2,77}'', 9, 151, ''wrong'', on_denial => ''record'')');
SELECT count(*) FROM teller.find(351, 'wrong');
-- With request_time; a batch without one is kept for ever.
SELECT count(*) FROM teller.transfer_from(351, '{2}', 9, 1, 'dated', request_time => '2026-01-01 00:00Z');
SELECT request_time = '2026-01-01 00:00Z' FROM teller.key WHERE ledger_id = 351 AND key = 'dated';

-- What it refuses, and nothing is written.
SELECT pg_temp.fill();
SELECT pg_temp.books() AS before \gset
SELECT arguments || E'\n\t' || pg_temp.says(format('SELECT teller.transfer_from(%s)', arguments))
FROM unnest(ARRAY['NULL, ''{2}'', 9, 5', '351, NULL, 9, 5', '351, ''{2}'', NULL, 5', '351, ''{2}'', 9, NULL',
	'351, ''{2}'', 9, 5, on_denial => NULL', '351, ''{2}'', 9, 5, on_denial => ''no''',
	'351, ''{2,NULL}'', 9, 5', '351, ''{}'', 9, 5', '351, ''{{2,3},{4,5}}'', 9, 5',
	'351, array_fill(2::bigint, ARRAY[10001]), 9, 5', '351, ''{2,3,2}'', 9, 5', '351, ''{2,9}'', 9, 5', '351, ''{9}'', 9, 5',
	'351, ''{2,6}'', 9, 5', '351, ''{2}'', 6, 5', '351, ''{2,77}'', 9, 5', '351, ''{2}'', 77, 5', '359999, ''{2}'', 9, 5',
	'351, ''{2}'', 9, 0', '351, ''{2}'', 9, ''0.00''', '351, ''{2}'', 9, ''-0''', '351, ''{2}'', 9, -1', '351, ''{2}'', 9, ''NaN''',
	'351, ''{2}'', 9, ''Infinity''', '351, ''{2}'', 9, ''-Infinity''',
	'351, ''{2}'', 9, 1.005', '351, ''{2}'', 9, 1e-100', '351, ''{2}'', 9, 1e39', '351, ''{2}'', 9, 1e1000', '351, ''{2}'', 9, 1e131071',
	'351, ''{2}'', 9, 5, key => ''''', '351, ''{2}'', 9, 5, key => repeat(''k'', 256)', '351, ''{2}'', 9, 5, key => E''a\nb''',
	'351, ''{2}'', 9, 5, metadata => ''1''', '351, ''{2}'', 9, 5, metadata => ''"x"''',
	'351, ''{2}'', 9, 5, metadata => to_jsonb(ARRAY[repeat(''x'', 70000)])',
	'351, ''{2}'', 9, 5, metadata => (repeat(''['', 65) || repeat('']'', 65))::jsonb',
	'351, ''{2}'', 9, 5, effective_at => ''infinity''', '351, ''{2}'', 9, 5, key => ''k'', request_time => ''infinity''']) AS arguments;
SELECT pg_temp.books() = :'before';
-- Sums that leave the range.
BEGIN;
SELECT teller.open_account(351, 11, 'USD', 'rich', min_balance => NULL),
	teller.open_account(351, 12, 'USD', 'richer', min_balance => NULL),
	teller.open_account(351, 13, 'USD', 'low', min_balance => -900000000000000000000000000000000000);
SELECT status FROM teller.transfer(351, 11, 12, 999999999999999999999999999999999999.99);
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2}'', 12, 1)');
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{11}'', 9, 1)');
SELECT ordinal, amount, credit_balance FROM teller.transfer_from(351, '{12,13}', 11, 999999999999999999999999999999999999.99);
SELECT ordinal, amount FROM teller.transfer_from(351, '{13,2}', 12, 900000000000000000000000000000000100);
ROLLBACK;
-- A closed period, and a transaction that does not write.
BEGIN;
SELECT teller.close_period(351, '2026-02-01 00:00Z');
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2,3}'', 9, 1, effective_at => ''2026-01-31 00:00Z'')');
ROLLBACK;
BEGIN READ ONLY;
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2,3}'', 9, 1)');
ROLLBACK;
-- The clock does not go back for any of the accounts.
BEGIN;
UPDATE teller.account SET last_at = '2100-01-01 00:00Z' WHERE ledger_id = 351 AND account_id = 8;
SELECT id AS late FROM teller.transfer_from(351, '{2,8}', 9, 1) \gset
SELECT recorded_at = '2100-01-01 00:00Z' FROM teller.journal WHERE ledger_id = 351 AND id = :'late';
ROLLBACK;
-- An account is written once, those that pay nothing not at all; all are locked.
SELECT pg_temp.fill();
BEGIN;
SELECT pg_stat_get_xact_tuples_updated('teller.account'::regclass) AS updated \gset
SELECT count(*) FROM teller.transfer_from(351, '{8,3,2,5}', 9, 60);
SELECT pg_stat_get_xact_tuples_updated('teller.account'::regclass) - :updated;
SELECT array_agg(account_id ORDER BY account_id) FROM teller.account
WHERE ledger_id = 351 AND xmax::text = pg_current_xact_id()::text;
ROLLBACK;
-- Many accounts.
BEGIN;
SELECT count(teller.open_account(351, 1000 + n, 'USD')) FROM generate_series(1, 1000) AS n;
SELECT count(*) FROM teller.post(351, array_fill(1::bigint, ARRAY[1000]),
	(SELECT array_agg(1000 + n) FROM generate_series(1, 1000) AS n), array_fill(0.02, ARRAY[1000]));
SELECT count(*), sum(amount), min(amount), max(amount)
FROM teller.transfer_from(351, (SELECT array_agg(2001 - n ORDER BY n) FROM generate_series(1, 1000) AS n), 9, 15.01);
SELECT min(account_id), count(*) FROM teller.account WHERE ledger_id = 351 AND account_id > 1000 AND posted = 0;
SELECT * FROM teller.verify(351);
ROLLBACK;

-- Rights: post.
CREATE ROLE regress_transfer_from;
GRANT USAGE ON SCHEMA teller TO regress_transfer_from;
SET ROLE regress_transfer_from;
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2}'', 9, 1)');
SELECT pg_temp.says('SELECT teller.transfer_from(359999, ''{2}'', 9, 1)');
RESET ROLE;
SELECT teller.grant_ledger(351, 'regress_transfer_from', 'read');
SET ROLE regress_transfer_from;
SELECT pg_temp.says('SELECT teller.transfer_from(351, ''{2}'', 9, 1)');
RESET ROLE;
SELECT teller.grant_ledger(351, 'regress_transfer_from', 'post');
SET ROLE regress_transfer_from;
SELECT ordinal, status FROM teller.transfer_from(351, '{2}', 9, 1);
RESET ROLE;
SELECT teller.revoke_ledger(351, 'regress_transfer_from');
REVOKE USAGE ON SCHEMA teller FROM regress_transfer_from;
DROP ROLE regress_transfer_from;

-- What verify() says where the rows are not those that were asked for.
SELECT * FROM teller.verify(351);
CREATE FUNCTION pg_temp.verdict(change text) RETURNS SETOF text LANGUAGE plpgsql AS $$
BEGIN
	BEGIN
		EXECUTE change;
		UPDATE teller.key SET fingerprint = sha256(convert_to(function || ' ' || arguments::text, getdatabaseencoding()))
		WHERE ledger_id = 351 AND key = 'order 1';
		RETURN QUERY SELECT DISTINCT regexp_replace(concat_ws(' ', invariant, object, detail),
			'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g') FROM teller.verify(351)
			WHERE object = 'key ''order 1''';
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION WHEN SQLSTATE 'UNDO0' THEN NULL;
	END;
END
$$;
SELECT change || E'\n\t' || coalesce(verdict, 'nothing')
FROM unnest(ARRAY['SELECT 1', 'UPDATE teller.key SET arguments = arguments || ''{"amount": 61}'' WHERE ledger_id = 351 AND key = ''order 1''',
	'UPDATE teller.key SET arguments = arguments || ''{"debit_accounts": [2, 3]}'' WHERE ledger_id = 351 AND key = ''order 1''',
	'UPDATE teller.key SET arguments = arguments || ''{"debit_accounts": [3]}'' WHERE ledger_id = 351 AND key = ''order 1''',
	'UPDATE teller.key SET arguments = arguments || ''{"debit_accounts": 3}'' WHERE ledger_id = 351 AND key = ''order 1''',
	'UPDATE teller.key SET arguments = arguments || ''{"credit_account": 1}'' WHERE ledger_id = 351 AND key = ''order 1''',
	'UPDATE teller.key SET arguments = arguments || ''{"metadata": {"a": 2}}'' WHERE ledger_id = 351 AND key = ''order 1''',
	'UPDATE teller.key SET arguments = arguments || ''{"effective_at": "2026-01-01 00:00:00+00"}'' WHERE ledger_id = 351 AND key = ''order 1''',
	'UPDATE teller.key SET result = result || ''{"count": 1}'' WHERE ledger_id = 351 AND key = ''order 1''',
	'UPDATE teller.journal AS j SET kind = ''reversal'' FROM teller.key AS k WHERE j.ledger_id = 351 AND k.ledger_id = 351 AND k.key = ''order 1'' AND j.batch_id = k.id']) AS change
LEFT JOIN LATERAL pg_temp.verdict(change) AS verdict ON true;

SELECT * FROM teller.verify();
