-- Bad input: each is refused with its SQLSTATE and a message that names the
-- argument; nothing is changed and the session goes on.
\pset format unaligned
\pset tuples_only on
-- A statement and what it raises, without ids and times.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL;
	RETURN regexp_replace(regexp_replace(concat_ws(E'\n\t\t',
		sqlstate || ': ' || sqlerrm, nullif(detail, '')),
		'[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>', 'g'),
		'\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?[-+0-9:]+', '<time>', 'g');
END
$$;
CREATE FUNCTION pg_temp.ask(call text) RETURNS text LANGUAGE sql AS $$
	SELECT regexp_replace(call, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>')
		|| E'\n\t' || pg_temp.says('SELECT teller.' || call)
$$;
-- A table of the user's own.
CREATE TABLE regress_limits_wallet (id int PRIMARY KEY, balance numeric(12,2) NOT NULL DEFAULT 100, seats smallint NOT NULL DEFAULT 10,
	version int NOT NULL DEFAULT 0, note text, twice numeric GENERATED ALWAYS AS (balance * 2) STORED);
INSERT INTO regress_limits_wallet VALUES (1), (2), (3);
-- A hash of every row of the ledger in every table, with its place on disk, and
-- of all ledgers, assets, requests, settings and that table.
CREATE FUNCTION pg_temp.books() RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	relation name;
	part text;
	whole text := '';
BEGIN
	FOR relation IN SELECT table_name FROM information_schema.columns
		JOIN information_schema.tables USING (table_schema, table_name)
		WHERE table_schema = 'teller' AND table_type = 'BASE TABLE'
			AND column_name = 'ledger_id' AND table_name <> 'ledger'
		ORDER BY table_name LOOP
		EXECUTE format('SELECT md5(string_agg(concat(t.ctid, t.xmin, t), ''|'' ORDER BY t.ctid))'
			' FROM teller.%I AS t WHERE ledger_id = 181', relation) INTO part;
		whole := whole || relation || coalesce(part, '-');
	END LOOP;
	RETURN md5(concat(whole,
		(SELECT md5(string_agg(concat(t.ctid, t.xmin, t), '|' ORDER BY t.ctid)) FROM teller.ledger AS t),
		(SELECT md5(string_agg(concat(t.ctid, t.xmin, t), '|' ORDER BY t.ctid)) FROM teller.asset AS t),
		(SELECT md5(string_agg(concat(t.ctid, t.xmin, t), '|' ORDER BY t.ctid)) FROM teller.request AS t),
		(SELECT md5(string_agg(concat(t.ctid, t.xmin, t), '|' ORDER BY t.ctid)) FROM regress_limits_wallet AS t),
		(SELECT string_agg(concat(name, setting, source), '|' ORDER BY name) FROM pg_settings
			WHERE name LIKE 'teller.%')));
END
$$;
CREATE ROLE regress_teller_limits;
SELECT teller.create_ledger(181, 'limits');
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(181, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(181, 2, 'USD', 'alice'),
	teller.open_account(181, 3, 'USD', 'bob', max_balance => 50),
	teller.open_account(181, 4, 'JPY', 'yuki', min_balance => NULL);
SELECT status FROM teller.transfer(181, 1, 2, 100, key => 'fund');
SELECT id AS h FROM teller.hold(181, 2, 3, 10, '1 day', key => 'hold') \gset
SELECT state FROM teller.begin_request('limits', 'begun', '{"n": 1}', '1 hour');
SELECT pg_temp.books() AS before \gset
SELECT pg_backend_pid() AS pid \gset

-- NULL for a required argument, each alone: 22004, and it is named.
CREATE TEMP TABLE sample (place serial, function text, required text[]);
INSERT INTO sample (function, required) VALUES
	('create_ledger', '{ledger,181}'),
	('create_asset', '{asset,''USD'',scale,2}'),
	('open_account', '{ledger,181,account,2,asset,''USD'',reentrancy,''allow'',hot,false}'),
	('account_id', '{ledger,181,name,''alice''}'),
	('balance', '{ledger,181,account,2}'),
	('lock_accounts', '{ledger,181,accounts,ARRAY[1]}'),
	('grant_ledger', '{ledger,181,grantee,''regress_teller_limits'',level,''read''}'),
	('revoke_ledger', '{ledger,181,grantee,''regress_teller_limits''}'),
	('transfer', '{ledger,181,debit_account,1,credit_account,2,amount,1,on_denial,''raise''}'),
	('hold', '{ledger,181,debit_account,1,credit_account,2,amount,1,on_denial,''raise''}'),
	('capture', format('{ledger,181,hold,''%s'',final,true,on_denial,''raise''}', :'h')::text[]),
	('release', format('{ledger,181,hold,''%s''}', :'h')::text[]),
	('find', '{ledger,181,key,''fund''}'),
	('expire_due', '{max_holds,1}'),
	('verify', '{level,''full''}'),
	('transfer_up_to', '{ledger,181,debit_account,1,credit_account,2,max_amount,1,min_amount,0,on_denial,''return''}'),
	('transfer_from', '{ledger,181,debit_accounts,ARRAY[1],credit_account,2,amount,1,on_denial,''raise''}'),
	('post', '{ledger,181,debit_accounts,ARRAY[1],credit_accounts,ARRAY[2],amounts,ARRAY[1],mode,''atomic''}'),
	('reverse', format('{ledger,181,id,''%s'',on_denial,''raise''}', :'h')::text[]),
	('reverse_batch', format('{ledger,181,batch_id,''%s''}', :'h')::text[]),
	('import_journal', '{ledger,181,debit_accounts,ARRAY[1],credit_accounts,ARRAY[2],amounts,ARRAY[1],effective_at,ARRAY[now()],keys,ARRAY[''k'']}'),
	('extend_hold', format('{ledger,181,hold,''%s'',ttl,''2 days''}', :'h')::text[]),
	('adjust_hold', format('{ledger,181,hold,''%s'',amount,5}', :'h')::text[]),
	('set_limits', '{ledger,181,account,2,force,false}'),
	('set_metadata', '{ledger,181,account,2}'),
	('freeze_account', '{ledger,181,account,2,direction,''both''}'),
	('unfreeze_account', '{ledger,181,account,2,direction,''both''}'),
	('close_account', '{ledger,181,account,2}'),
	('reopen_account', '{ledger,181,account,2}'),
	('close_period', '{ledger,181,until,''2020-01-01''}'),
	('statement', '{ledger,181,account,2,after_version,0,max_rows,1}'),
	('balance_at', '{ledger,181,account,2,at,now(),by,''recorded''}'),
	('journal_since', '{ledger,181,max_rows,1}'),
	('seal', '{ledger,181}'),
	('verify_seal', '{ledger,181}'),
	('mark_verified', '{ledger,181,level,''full''}'),
	('prune_keys', '{max_keys,1}'),
	('row_debit', '{rel,''regress_limits_wallet'',id,1,amount,1,col,''balance''}'),
	('row_credit', '{rel,''regress_limits_wallet'',id,1,amount,1,col,''balance''}'),
	('row_update', ARRAY['rel', '''regress_limits_wallet''', 'id', '1', 'expected_version', '0', 'changes', '''{"note": "x"}''',
		'version_col', '''version''']),
	('lock_rows', ARRAY['rel', '''regress_limits_wallet''', 'ids', 'ARRAY[1]', 'wait', '''block''', 'strength', '''update''', 'missing', '''error''']),
	('begin_request', ARRAY['scope', '''limits''', 'key', '''k''', 'request', '''{}''']),
	('finish_request', ARRAY['scope', '''limits''', 'key', '''begun''', 'response', '''{}''']),
	('prune_requests', '{max_rows,1}');
SELECT format('%s %s', function, name) || E'\n\t' || pg_temp.says(format('SELECT teller.%s(%s)', function,
	(SELECT string_agg(format('%s => %s', required[i],
		CASE WHEN required[i] = name THEN 'NULL' ELSE required[i + 1] END), ', ' ORDER BY i)
		FROM generate_series(1, array_length(required, 1), 2) AS i)
		|| CASE function WHEN 'set_limits' THEN ', min_balance => 0, max_balance => NULL'
			WHEN 'set_metadata' THEN ', metadata => NULL' ELSE '' END))
FROM (SELECT s.*, required[n] AS name, n FROM sample AS s,
	LATERAL generate_series(1, array_length(required, 1), 2) AS n
	ORDER BY place, n) AS each;
-- Every argument of these functions that has no default is among them, but for
-- limits and metadata, of which NULL is none.
SELECT p.proname, p.proargnames[n]
FROM pg_proc AS p, generate_series(1, p.pronargs - p.pronargdefaults) AS n, sample AS s
WHERE p.pronamespace = 'teller'::regnamespace AND p.proname = s.function
	AND p.proargnames[n] <> ALL (s.required || ARRAY['min_balance', 'max_balance', 'metadata']);
-- NULL inside an array is named with its place.
SELECT pg_temp.ask('lock_accounts(181, ARRAY[1, 2, NULL])');
SELECT pg_temp.ask('lock_accounts(181, ''[5:7]={1,NULL,2}'')');

-- Amounts: zero and minus, no numbers, too fine, too large.
SELECT pg_temp.ask(replace(call, '$', quote_literal(amount)))
FROM (SELECT call, amount
	FROM unnest(ARRAY['transfer(181, 2, 1, $)', 'hold(181, 2, 1, $)', format('capture(181, %L, $)', :'h')])
		WITH ORDINALITY AS c (call, call_place),
	unnest(ARRAY['0', '0.00', '-0', '-1', 'NaN', 'Infinity', '-Infinity', '1.005', '1e-100',
		'1e-16383', '1e39', '1e1000', '1e131071'])
		WITH ORDINALITY AS a (amount, amount_place)
	ORDER BY call_place, amount_place) AS each;

-- One account on both sides, accounts of two assets, what is not there.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'transfer(181, 2, 2, 1)', 'hold(181, 2, 2, 1)',
	'transfer(181, 2, 4, 1)', 'hold(181, 2, 4, 1)', 'hold(181, 4, 2, 1)',
	'transfer(181, 2, 77, 1)', 'transfer(181, 77, 2, 1)', 'hold(181, 2, 77, 1)', 'hold(181, 77, 2, 1)',
	'balance(181, 77)', 'account_id(181, ''nobody'')', 'lock_accounts(181, ARRAY[1, 77])',
	'capture(181, ''00000000-0000-0000-0000-000000000000'')',
	'release(181, ''00000000-0000-0000-0000-000000000000'')',
	'open_account(181, 5, ''NONE'')',
	'transfer(189, 1, 2, 1)', 'hold(189, 1, 2, 1)', 'balance(189, 1)', 'account_id(189, ''alice'')',
	'open_account(189, 1, ''USD'')', 'verify(189)',
	'grant_ledger(189, ''regress_teller_limits'', ''read'')',
	'create_asset(''USD'', 3)']) AS call;

-- Not enough money, and a maximum.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'transfer(181, 2, 1, 90.01)', 'hold(181, 2, 1, 90.01)',
	'transfer(181, 1, 3, 40.01)', 'hold(181, 1, 3, 40.01)']) AS call;

-- Frozen and closed accounts.
BEGIN;
UPDATE teller.account SET status = 'frozen' WHERE ledger_id = 181 AND account_id = 2;
UPDATE teller.account SET status = 'closed' WHERE ledger_id = 181 AND account_id = 3;
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'transfer(181, 2, 1, 1)', 'transfer(181, 1, 2, 1)', 'transfer(181, 1, 3, 1)',
	'hold(181, 2, 1, 1)', 'hold(181, 1, 3, 1)',
	format('capture(181, %L)', :'h'), format('release(181, %L)', :'h')]) AS call;
ROLLBACK;

-- Limits of an account.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'open_account(181, 5, ''USD'', min_balance => 1, max_balance => 0)',
	'open_account(181, 5, ''USD'', min_balance => ''NaN'')',
	'open_account(181, 5, ''USD'', max_balance => ''Infinity'')',
	'open_account(181, 5, ''USD'', max_balance => 1.005)',
	'open_account(181, 5, ''USD'', max_balance => 1e36)']) AS call;

-- Keys.
SELECT what || E'\n\t' || pg_temp.says(replace(call, '$', key))
FROM (VALUES ('empty', 1, ''''''), ('256 bytes', 2, 'repeat(''k'', 256)'),
	('10 MB', 3, 'repeat(''k'', 10000000)'), ('newline', 4, 'E''a\nb'''), ('NUL', 5, 'E''a\x00b'''))
	AS bad (what, place, key),
unnest(ARRAY['SELECT teller.transfer(181, 1, 2, 1, key => $)', 'SELECT teller.hold(181, 1, 2, 1, key => $)',
	format('SELECT teller.capture(181, %L, key => $)', :'h'), format('SELECT teller.release(181, %L, key => $)', :'h'),
	'SELECT teller.find(181, $)']) WITH ORDINALITY AS c (call, call_place)
ORDER BY place, call_place;
-- The same key for another amount, another function.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'transfer(181, 1, 2, 101, key => ''fund'')', 'hold(181, 1, 2, 100, key => ''fund'')',
	format('release(181, %L, key => ''hold'')', :'h')]) AS call;

-- expected_version.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'transfer(181, 2, 1, 1, expected_version => -1)',
	'transfer(181, 2, 1, 1, expected_version => 9223372036854775807)',
	'transfer(181, 2, 1, 1, expected_version => 1)',
	'hold(181, 2, 1, 1, expected_version => -1)',
	'hold(181, 2, 1, 1, expected_version => 9223372036854775807)',
	'hold(181, 2, 1, 1, expected_version => 1)']) AS call;

-- The life of a hold.
SELECT pg_temp.ask(format('hold(181, 2, 1, 1, %L)', ttl))
FROM unnest(ARRAY['0', '-1 second', '1000 years', '-1000 years']) AS ttl;

-- Captures: more than remains; of a hold that is over.
SELECT pg_temp.ask(format('capture(181, %L, 10.01)', :'h'));
BEGIN;
SELECT amount FROM teller.capture(181, :'h');
SELECT pg_temp.ask(format('capture(181, %L)', :'h'));
SELECT pg_temp.ask(format('release(181, %L)', :'h'));
ROLLBACK;
BEGIN;
SELECT status FROM teller.release(181, :'h');
SELECT pg_temp.ask(format('capture(181, %L)', :'h'));
SELECT pg_temp.ask(format('release(181, %L)', :'h'));
ROLLBACK;
BEGIN;
UPDATE teller.hold SET expires_at = clock_timestamp() WHERE ledger_id = 181 AND hold_id = :'h';
SELECT pg_temp.ask(format('capture(181, %L)', :'h'));
SELECT pg_temp.ask(format('release(181, %L)', :'h'));
ROLLBACK;

-- Arrays.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'lock_accounts(181, ARRAY[[1, 2], [2, 3]])', 'lock_accounts(181, ''{{{1}}}'')',
	'lock_accounts(181, array_fill(1::bigint, ARRAY[10001]))']) AS call;
BEGIN;
SELECT teller.lock_accounts(181, '[5:6]={1,2}'), teller.lock_accounts(181, '{}');
ROLLBACK;

-- Metadata: an object or an array, at most 64 kB, at most 64 deep.
SELECT what || E'\n\t' || pg_temp.says(replace(call, '$', value))
FROM (VALUES ('a number', 1, '''1'''), ('a string', 2, '''"x"'''), ('a boolean', 3, '''true'''),
	('null', 4, '''null'''),
	('70 kB', 5, 'jsonb_build_object(''a'', repeat(''x'', 70000))'),
	('10 MB', 6, 'jsonb_build_object(''a'', repeat(''x'', 10000000))'),
	('65 deep', 7, '(repeat(''['', 65) || repeat('']'', 65))::jsonb'),
	('65 deep in objects', 8, '(repeat(''{"a":'', 65) || ''1'' || repeat(''}'', 65))::jsonb')) AS bad (what, place, value),
unnest(ARRAY['SELECT teller.transfer(181, 1, 2, 1, metadata => $)', 'SELECT teller.hold(181, 1, 2, 1, metadata => $)',
	'SELECT teller.open_account(181, 5, ''USD'', metadata => $)']) WITH ORDINALITY AS c (call, call_place)
ORDER BY place, call_place;
BEGIN;
SELECT status FROM teller.transfer(181, 1, 2, 1, metadata => jsonb_build_object('a', repeat('x', 65000)));
SELECT status FROM teller.transfer(181, 1, 2, 1, metadata => (repeat('[', 64) || repeat(']', 64))::jsonb);
SELECT status FROM teller.transfer(181, 1, 2, 1, metadata => '{}');
ROLLBACK;

-- Names and symbols: 1 to 255 bytes without control characters.
SELECT what || E'\n\t' || pg_temp.says(replace(call, '$', value))
FROM (VALUES ('empty', 1, ''''''), ('300 bytes', 2, 'repeat(''n'', 300)'),
	('tab', 3, 'E''a\tb'''), ('escape', 4, 'E''\x1b[2J'''), ('DEL', 5, 'E''\x7f'''), ('NUL', 6, 'E''\x00'''))
	AS bad (what, place, value),
unnest(ARRAY['SELECT teller.open_account(181, 5, ''USD'', $)', 'SELECT teller.open_account(181, NULL, ''USD'', $)',
	'SELECT teller.open_account(181, 5, $)', 'SELECT teller.create_ledger(182, $)', 'SELECT teller.create_asset($, 2)'])
	WITH ORDINALITY AS c (call, call_place)
ORDER BY place, call_place;

-- Words that are none of those allowed.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'transfer(181, 1, 2, 1, on_denial => ''ignore'')', 'transfer(181, 1, 2, 1, on_denial => '''')',
	'transfer(181, 1, 2, 1, on_denial => ''record'')', 'hold(181, 1, 2, 1, on_denial => ''Raise'')',
	format('capture(181, %L, on_denial => ''x'')', :'h'),
	'open_account(181, 5, ''USD'', reentrancy => ''never'')', 'set_reentrancy(181, 1, ''fifo'')',
	'grant_ledger(181, ''regress_teller_limits'', ''all'')', 'verify(181, ''fast'')',
	'create_asset(''LIMITS'', -1)', 'create_asset(''LIMITS'', 31)',
	'expire_due(0)', 'expire_due(-1)', 'expire_due(1000001)']) AS call;

-- Times without end.
SELECT pg_temp.ask(format('transfer(181, 1, 2, 1, effective_at => %L)', at))
FROM unnest(ARRAY['infinity', '-infinity']) AS at;

-- Tables of the user's own: amounts and bounds.
SELECT pg_temp.ask(replace(call, '$', quote_literal(amount)))
FROM unnest(ARRAY['row_debit(''regress_limits_wallet'', 1, $)', 'row_credit(''regress_limits_wallet'', 1, $, ''seats'')'])
		WITH ORDINALITY AS c (call, call_place),
	unnest(ARRAY['0', '-0', '-1', 'NaN', 'Infinity', '1.005', '1e-16383', '1e39', '1e131071'])
		WITH ORDINALITY AS a (amount, amount_place)
ORDER BY call_place, amount_place;
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_debit(''regress_limits_wallet'', 1, 100.01)', 'row_debit(''regress_limits_wallet'', 1, 1, floor => 99.01)',
	'row_credit(''regress_limits_wallet'', 1, 0.01, ceiling => 100)', 'row_credit(''regress_limits_wallet'', 1, 32767, ''seats'')',
	'row_debit(''regress_limits_wallet'', 1, 1, floor => ''NaN'')', 'row_credit(''regress_limits_wallet'', 1, 1, ceiling => ''Infinity'')',
	'row_debit(''regress_limits_wallet'', 77, 1)', 'row_debit(''regress_limits_wallet'', 1::bigint, 1)', 'row_debit(''regress_limits_wallet'', ''x'', 1)',
	'row_debit(''regress_limits_wallet'', 1, 1, ''missing'')', 'row_debit(''regress_limits_wallet'', 1, 1, ''note'')', 'row_debit(''regress_limits_wallet'', 1, 1, ''twice'')',
	'row_debit(''regress_limits_wallet'', 1, 1, ''ctid'')', 'row_debit(''regress_limits_wallet'', 1, 1, '''')',
	'row_debit(''pg_class'', 1, 1)', 'row_debit(''teller.account'', 1, 1)', 'row_debit(''teller.movement'', 1, 1)', 'row_debit(0, 1, 1)']) AS call;
-- Versions and changes.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'row_update(''regress_limits_wallet'', 1, 1, ''{"note": "x"}'')', 'row_update(''regress_limits_wallet'', 1, -1, ''{"note": "x"}'')',
	'row_update(''regress_limits_wallet'', 1, 9223372036854775807, ''{"note": "x"}'')', 'row_update(''regress_limits_wallet'', 77, 0, ''{"note": "x"}'')',
	'row_update(''regress_limits_wallet'', 1, 0, ''{}'')', 'row_update(''regress_limits_wallet'', 1, 0, ''[]'')', 'row_update(''regress_limits_wallet'', 1, 0, ''null'')',
	'row_update(''regress_limits_wallet'', 1, 0, ''{"id": 2}'')', 'row_update(''regress_limits_wallet'', 1, 0, ''{"version": 2}'')',
	'row_update(''regress_limits_wallet'', 1, 0, ''{"missing": 2}'')', 'row_update(''regress_limits_wallet'', 1, 0, ''{"twice": 2}'')',
	'row_update(''regress_limits_wallet'', 1, 0, ''{"balance": "much"}'')', 'row_update(''regress_limits_wallet'', 1, 0, ''{"balance": null}'')',
	'row_update(''regress_limits_wallet'', 1, 0, ''{"note": "x"}'', ''note'')', 'row_update(''regress_limits_wallet'', 1, 0, ''{"note": "x"}'', ''missing'')']) AS call;
-- Rows to lock.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'lock_rows(''regress_limits_wallet'', array_fill(1, ARRAY[10001]))', 'lock_rows(''regress_limits_wallet'', ARRAY[1, 77, 78])',
	'lock_rows(''regress_limits_wallet'', ARRAY[1, NULL])', 'lock_rows(''regress_limits_wallet'', ARRAY[1::bigint])', 'lock_rows(''regress_limits_wallet'', ''{1,x}'')',
	'lock_rows(''regress_limits_wallet'', ''1'')', 'lock_rows(''regress_limits_wallet'', ARRAY[[1], [2]])',
	'lock_rows(''regress_limits_wallet'', ARRAY[1], ''soon'')', 'lock_rows(''regress_limits_wallet'', ARRAY[1], ''-1 s'')',
	'lock_rows(''regress_limits_wallet'', ARRAY[1], strength => ''hard'')', 'lock_rows(''regress_limits_wallet'', ARRAY[1], missing => ''ignore'')']) AS call;
BEGIN;
SELECT teller.lock_rows('regress_limits_wallet', '{3,1,3}'), teller.lock_rows('regress_limits_wallet', '[5:6]={2,1}'::int[]);
SELECT count(*) FROM teller.lock_rows('regress_limits_wallet', '{}'::int[]);
ROLLBACK;
-- Requests.
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'begin_request(''limits'', ''begun'', ''{"n": 2}'', ''1 hour'')', 'begin_request(''limits'', '''', ''{}'')', 'begin_request('''', ''k'', ''{}'')',
	'begin_request(''limits'', repeat(''k'', 256), ''{}'')', 'begin_request(''limits'', E''a\nb'', ''{}'')',
	'begin_request(''limits'', ''k'', to_jsonb(repeat(''x'', 1100000)))', 'begin_request(''limits'', ''k'', ''{}'', ''0'')',
	'begin_request(''limits'', ''k'', ''{}'', ''-1 s'')', 'begin_request(''limits'', ''k'', ''{}'', ''1000 years'')',
	'begin_request(''limits'', ''k'', ''{}'', ''1 hour'', ''infinity'')',
	'finish_request(''limits'', ''never begun'', ''{}'')', 'finish_request(''limits'', ''begun'', ''{}'')', 'finish_request(''limits'', ''begun'', ''{}'', -1)',
	'prune_requests(0)', 'prune_requests(1000001)']) AS call;

-- A read-only transaction, for everything that writes.
BEGIN READ ONLY;
SELECT pg_temp.ask(call) FROM unnest(ARRAY[
	'create_ledger(182)', 'create_asset(''LIMITS'', 2)', 'open_account(181, 5, ''USD'')',
	'grant_ledger(181, ''regress_teller_limits'', ''read'')', 'revoke_ledger(181, ''regress_teller_limits'')',
	'lock_accounts(181, ARRAY[1])', 'transfer(181, 1, 2, 1)', 'hold(181, 1, 2, 1)',
	format('capture(181, %L)', :'h'), format('release(181, %L)', :'h'),
	'transfer_up_to(181, 1, 2, 1)', 'transfer_from(181, ''{1}'', 2, 1)', 'post(181, ''{1}'', ''{2}'', ''{1}'')',
	'reverse(181, (SELECT id FROM teller.find(181, ''fund'')))',
	'import_journal(181, ''{1}'', ''{2}'', ''{1}'', ARRAY[now()], ''{k}'')',
	format('extend_hold(181, %L, ''2 days'')', :'h'), format('adjust_hold(181, %L, 5)', :'h'),
	'set_limits(181, 2, 1, NULL)', 'set_metadata(181, 2, ''{}'')', 'freeze_account(181, 2)', 'unfreeze_account(181, 2)',
	'close_account(181, 2)', 'reopen_account(181, 2)', 'close_period(181, ''2020-01-01 00:00Z'')',
	'seal(181)', 'mark_verified(181)', 'expire_due()',
	'row_debit(''regress_limits_wallet'', 1, 1)', 'row_credit(''regress_limits_wallet'', ''1'', 1)',
	'row_update(''regress_limits_wallet'', 1, 0, ''{"note": "x"}'')', 'lock_rows(''regress_limits_wallet'', ARRAY[1])',
	'begin_request(''limits'', ''k'', ''{}'')', 'finish_request(''limits'', ''begun'', ''{}'', 1)']) AS call;
-- Reading goes on.
SELECT pg_temp.ask(call) FROM unnest(ARRAY['balance(181, 2)', 'account_id(181, ''alice'')',
	'find(181, ''fund'')', 'verify(181)']) AS call;
SELECT count(*) FROM teller.statement(181, 2), teller.balance_at(181, 2, now());
ROLLBACK;

-- A failed transaction.
BEGIN;
\set VERBOSITY sqlstate
SELECT * FROM teller.transfer(181, 2, 1, 1000);
SELECT * FROM teller.transfer(181, 1, 2, 1);
SELECT * FROM teller.balance(181, 2);
ROLLBACK;
\set VERBOSITY default

-- Settings: out of range or no number is refused, and the old value stays.
SELECT name, value, pg_temp.says(format('SET %s = %L', name, value)) LIKE '22023: %' AS refused
FROM pg_settings, unnest(ARRAY['-1', '2147483648', '1 parsec', 'many', '', (min_val::bigint - 1)::text,
	(max_val::bigint + 1)::text]) AS value
WHERE name IN ('teller.hold_ttl', 'teller.operation_expiry')
ORDER BY name COLLATE "C", value COLLATE "C";
-- What comes from the configuration file cannot be set by a session.
SELECT name FROM pg_settings
WHERE name LIKE 'teller.%' AND context = 'sighup'
	AND pg_temp.says(format('SET %s = %s', name, reset_val)) NOT LIKE '55P02: %';
\set VERBOSITY sqlstate
SELECT format('ALTER SYSTEM SET %s = %L', name, bad)
FROM pg_settings, unnest(ARRAY[(min_val::bigint - 1)::text, (max_val::bigint + 1)::text, '1 parsec']) AS bad
WHERE name IN ('teller.max_in_flight', 'teller.max_in_flight_per_server', 'teller.connect_timeout',
	'teller.attempt_timeout', 'teller.max_attempts', 'teller.backoff_base', 'teller.backoff_max',
	'teller.not_after_margin', 'teller.circuit_failures', 'teller.circuit_open', 'teller.shutdown_grace',
	'teller.callback_timeout', 'teller.callback_max_attempts', 'teller.max_request_bytes',
	'teller.max_response_bytes', 'teller.max_pending_operations',
	'teller.max_pending_operations_per_account', 'teller.expire_batch', 'teller.key_retention')
ORDER BY name COLLATE "C", bad COLLATE "C" \gexec
ALTER SYSTEM SET teller.dispatch = 'perhaps';
\set VERBOSITY default

-- All this has changed nothing, in this same session.
SELECT pg_temp.books() = :'before', pg_backend_pid() = :pid;
DROP TABLE regress_limits_wallet;
DELETE FROM teller.request WHERE scope = 'limits';
DROP ROLE regress_teller_limits;

SELECT * FROM teller.verify();
