-- Seals: what is done to sealed rows, also by a superuser, is found.
\pset format unaligned
\pset tuples_only on
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	RETURN sqlstate || ': ' || sqlerrm;
END
$$;
-- Wait until every transaction that runs now has ended: somebody else's may
-- keep the feed back, and with it the seals.
CREATE PROCEDURE pg_temp.settle() LANGUAGE plpgsql AS $$
DECLARE
	until xid8 := pg_snapshot_xmax(pg_current_snapshot());
BEGIN
	WHILE pg_snapshot_xmin(pg_current_snapshot()) < until LOOP
		COMMIT;
	END LOOP;
END
$$;
-- Tamper, tell what verify_seal() says, with names in place of ids, and take it
-- back.
CREATE FUNCTION pg_temp.tamper(tampering text, digest bytea DEFAULT NULL) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
	report text[];
BEGIN
	BEGIN
		EXECUTE tampering;
		report := ARRAY(SELECT concat_ws(' ', v.seal, (SELECT '<' || n.name || '>' FROM named AS n WHERE n.id = v.journal_id),
				regexp_replace(v.detail, '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}', '<id>'))
			FROM teller.verify_seal(315, digest) AS v);
		RAISE EXCEPTION USING ERRCODE = 'UNDO0';
	EXCEPTION
		WHEN SQLSTATE 'UNDO0' THEN
			NULL;
		WHEN OTHERS THEN
			report := ARRAY[sqlstate || ': ' || sqlerrm];
	END;
	RETURN QUERY SELECT coalesce(nullif(array_to_string(report, E'\n'), ''), 'nothing');
END
$$;
CREATE FUNCTION pg_temp.unguard(relation regclass) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
	guard name;
BEGIN
	FOR guard IN SELECT conname FROM pg_constraint WHERE conrelid = relation AND contype = 'c' LOOP
		EXECUTE format('ALTER TABLE %s DROP CONSTRAINT %I', relation, guard);
	END LOOP;
END
$$;
SELECT teller.create_ledger(315), teller.create_ledger(316);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(315, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(315, 2, 'USD', 'alice'), teller.open_account(315, 3, 'USD', 'shop'),
	teller.open_account(316, 1, 'USD', 'world', min_balance => NULL), teller.open_account(316, 2, 'USD', 'bob');

-- A ledger without movements has a digest too.
SELECT sealed, digest = sha256('\x' || int4send(14) || 'pg_teller seal' || int4send(1) || '1' || int4send(3) || '315')
FROM teller.seal(315);
SELECT digest AS d0 FROM teller.seal(315) \gset
SELECT count(*) FROM teller.seal WHERE ledger_id = 315;
SELECT * FROM teller.verify_seal(315);

SELECT id AS a FROM teller.transfer(315, 1, 2, 100, metadata => '{"note": "\u00e4", "n": [1.00, null]}') \gset
SELECT id AS b FROM teller.transfer(315, 1, 2, 20, effective_at => '1999-12-31 23:59:59.999999Z') \gset
SELECT id AS h FROM teller.hold(315, 2, 3, 30, '1 day') \gset
SELECT status FROM teller.transfer(316, 1, 2, 7);
CALL pg_temp.settle();
SELECT sealed, digest AS d1 FROM teller.seal(315) \gset
SELECT :sealed;
SELECT id AS c FROM teller.capture(315, :'h', 10) \gset
SELECT id AS h FROM teller.journal WHERE ledger_id = 315 AND kind = 'hold' \gset
SELECT count(*) FROM teller.post(315, '{1,1}', '{2,3}', '{1,2}');
CALL pg_temp.settle();
SELECT sealed, digest AS d2 FROM teller.seal(315) \gset
SELECT :sealed;
-- What a transaction wrote itself is not sealed in it.
BEGIN;
SELECT id AS e FROM teller.transfer(315, 1, 2, 4) \gset
SELECT sealed, digest = :'d2' FROM teller.seal(315);
COMMIT;
CALL pg_temp.settle();
SELECT sealed, digest AS d3 FROM teller.seal(315) \gset
SELECT :sealed;
-- Nothing new: the same answer, and no seal.
SELECT sealed, digest = :'d3' FROM teller.seal(315);
SELECT number, rows, total FROM teller.seal WHERE ledger_id = 315 ORDER BY number;
CREATE TEMP TABLE named AS SELECT * FROM (VALUES ('a', :'a'::uuid), ('b', :'b'), ('h', :'h'), ('c', :'c'), ('e', :'e'),
	('x', '00000000-0000-7000-8000-000000000001'), ('z', 'ffffffff-ffff-7fff-bfff-ffffffffffff')) AS n (name, id);

-- Untouched; and each digest that was given out is part of the chain.
SELECT * FROM teller.verify_seal(315);
SELECT count(*) FROM unnest(ARRAY[:'d0', :'d1', :'d2', :'d3']::bytea[]) AS d, teller.verify_seal(315, d);
SELECT * FROM teller.verify_seal(316);

-- The digests by the description in docs/evidence.md, computed here.
CREATE FUNCTION pg_temp.field(value text) RETURNS bytea LANGUAGE sql AS $$
	SELECT CASE WHEN value IS NULL THEN '\xffffffff'
		ELSE int4send(octet_length(convert_to(value, 'UTF8'))) || convert_to(value, 'UTF8') END
$$;
CREATE FUNCTION pg_temp.field(value timestamptz) RETURNS bytea LANGUAGE sql AS $$
	SELECT pg_temp.field((extract(epoch FROM value) * 1000000)::bigint::text)
$$;
CREATE FUNCTION pg_temp.row_bytes(j teller.journal) RETURNS bytea LANGUAGE sql AS $$
	SELECT pg_temp.field(j.ledger_id::text) || pg_temp.field(j.id::text) || pg_temp.field(j.kind)
		|| pg_temp.field(j.debit_account::text) || pg_temp.field(j.credit_account::text) || pg_temp.field(j.amount::text)
		|| pg_temp.field(j.debit_version::text) || pg_temp.field(j.debit_posted::text) || pg_temp.field(j.debit_pending::text)
		|| pg_temp.field(j.credit_version::text) || pg_temp.field(j.credit_posted::text) || pg_temp.field(j.credit_pending::text)
		|| pg_temp.field(j.hold_id::text) || pg_temp.field(j.reverses::text) || pg_temp.field(j.batch_id::text)
		|| pg_temp.field(j.operation_id::text) || pg_temp.field(j.effective_at) || pg_temp.field(j.recorded_at)
		|| pg_temp.field(j.metadata::text) || pg_temp.field(CASE WHEN j.ends_hold THEN 't' ELSE 'f' END)
		|| pg_temp.field(j.tx::text) || pg_temp.field(j.debit_epoch::text) || pg_temp.field(j.credit_epoch::text)
$$;
DO $$
DECLARE
	chain bytea := sha256(pg_temp.field('pg_teller seal') || pg_temp.field('1') || pg_temp.field('315'));
	sealed teller.seal;
	one teller.journal;
	place integer;
	total integer := 0;
BEGIN
	FOR sealed IN SELECT * FROM teller.seal WHERE ledger_id = 315 ORDER BY number LOOP
		ASSERT sealed.previous = chain, 'previous';
		place := 0;
		FOR one IN SELECT * FROM teller.journal WHERE ledger_id = 315 ORDER BY tx, id OFFSET total LIMIT sealed.rows LOOP
			chain := sha256(chain || pg_temp.row_bytes(one));
			ASSERT substr(sealed.digests, 32 * place + 1, 32) = chain, 'digest';
			ASSERT substr(sealed.ids, 16 * place + 1, 16) = uuid_send(one.id), 'id';
			place := place + 1;
		END LOOP;
		total := total + place;
		chain := sha256(chain || pg_temp.field('315') || pg_temp.field(sealed.number::text) || pg_temp.field(place::text)
			|| pg_temp.field(total::text) || pg_temp.field(sealed.first_tx::text) || pg_temp.field(sealed.first_id::text)
			|| pg_temp.field(one.tx::text) || pg_temp.field(one.id::text) || pg_temp.field(sealed.below::text)
			|| pg_temp.field(sealed.sealed_at));
		ASSERT sealed.head = chain, 'head';
	END LOOP;
	ASSERT total = 8, 'total';
END
$$;

-- An amount is changed, with the balances, so that the books agree.
SELECT pg_temp.tamper(format($$
	UPDATE teller.journal SET amount = 21, debit_posted = debit_posted - 1, credit_posted = credit_posted + 1
	WHERE ledger_id = 315 AND id = %L$$, :'b'));
-- Any other column, by as little as can be.
SELECT change, line FROM unnest(ARRAY['kind = ''release''', 'debit_account = 9', 'credit_account = 9', 'amount = 20.000',
	'debit_version = NULL', 'debit_posted = NULL', 'debit_pending = NULL', 'credit_version = 0', 'credit_posted = 0',
	'credit_pending = 0', 'hold_id = id', 'reverses = id', 'batch_id = id', 'operation_id = id',
	'effective_at = effective_at + interval ''1 us''', 'recorded_at = recorded_at - interval ''1 us''',
	'metadata = ''null''', 'metadata = ''{}''', 'ends_hold = true', 'tx = tx', 'id = ''00000000-0000-7000-8000-000000000001''',
	'tx = tx + 1', 'tx = tx - 1', 'debit_epoch = 1', 'credit_epoch = 1', 'ledger_id = 316']) AS change,
	pg_temp.tamper(format('UPDATE teller.journal SET %s WHERE ledger_id = 315 AND id = %L', change, :'b')) AS line;
SELECT pg_temp.tamper(format($$
	UPDATE teller.journal SET metadata = '{"note": "\u00e4", "n": [1.0, null]}' WHERE ledger_id = 315 AND id = %L$$, :'a'));
-- A row is deleted: the first, one in the middle, the last; all.
SELECT pg_temp.tamper(format('DELETE FROM teller.journal WHERE ledger_id = 315 AND id = %L', id))
FROM unnest(ARRAY[:'a', :'b', :'c', :'e']) AS id;
SELECT pg_temp.tamper('DELETE FROM teller.journal WHERE ledger_id = 315');
-- A row is inserted among those of a seal, before and behind them, between two
-- seals, and behind the last.
SELECT side || ' ' || (SELECT name FROM named WHERE id = place), pg_temp.tamper(format($$
	INSERT INTO teller.journal SELECT ledger_id, %L, kind, debit_account, credit_account, amount, 99, 0, 0, 99, 0, 0,
		NULL, NULL, NULL, NULL, effective_at, recorded_at, NULL, false, tx
	FROM teller.journal WHERE ledger_id = 315 AND id = %L$$, new, place))
FROM (VALUES ('before', '00000000-0000-7000-8000-000000000001', :'a'::uuid), ('before', '00000000-0000-7000-8000-000000000001', :'b'),
	('behind', 'ffffffff-ffff-7fff-bfff-ffffffffffff', :'b'), ('behind', 'ffffffff-ffff-7fff-bfff-ffffffffffff', :'h'),
	('before', '00000000-0000-7000-8000-000000000001', :'c'), ('behind', 'ffffffff-ffff-7fff-bfff-ffffffffffff', :'e'))
	AS v (side, new, place);
-- Two rows change places: their ids, or their transactions.
SELECT pg_temp.tamper(format($$
	UPDATE teller.journal SET id = 'ffffffff-ffff-7fff-bfff-ffffffffffff' WHERE ledger_id = 315 AND id = %1$L;
	UPDATE teller.journal SET id = %1$L WHERE ledger_id = 315 AND id = %2$L;
	UPDATE teller.journal SET id = %2$L WHERE ledger_id = 315 AND id = 'ffffffff-ffff-7fff-bfff-ffffffffffff'$$, :'a', :'b'));
SELECT pg_temp.tamper(format($$
	UPDATE teller.journal AS j SET tx = o.tx FROM teller.journal AS o
	WHERE j.ledger_id = 315 AND o.ledger_id = 315 AND j.id IN (%1$L, %2$L) AND o.id IN (%1$L, %2$L) AND j.id <> o.id$$, :'a', :'b'));
-- The first that does not fit is named, in each seal.
SELECT pg_temp.tamper('UPDATE teller.journal SET amount = amount + 1 WHERE ledger_id = 315');

-- A seal is changed.
SELECT change, pg_temp.tamper(format('SELECT pg_temp.unguard(''teller.seal''); UPDATE teller.seal SET %s
	WHERE ledger_id = 315 AND number = 2', change))
FROM unnest(ARRAY['rows = 3', 'rows = 0', 'rows = 2000000000', 'total = total + 1', 'first_tx = first_tx + 1',
	'first_id = last_id', 'last_tx = last_tx + 1', 'last_tx = last_tx - 1', 'last_id = first_id', 'below = below + 1',
	'sealed_at = sealed_at - interval ''1 us''', 'previous = sha256(''x'')', 'previous = ''''', 'head = sha256(''x'')',
	'ids = set_byte(ids, 17, 255 - get_byte(ids, 17))', 'digests = set_byte(digests, 33, 255 - get_byte(digests, 33))',
	'ids = ''''', 'digests = digests || digests',
	'digests = set_byte(digests, octet_length(digests) - 1, 255 - get_byte(digests, octet_length(digests) - 1))',
	'number = 7', 'ledger_id = 316']) AS change;
-- A seal is removed: the first, one in the middle.  The rows of the others are
-- tested all the same.
SELECT pg_temp.tamper('DELETE FROM teller.seal WHERE ledger_id = 315 AND number = 1');
SELECT pg_temp.tamper('DELETE FROM teller.seal WHERE ledger_id = 315 AND number = 2');
SELECT pg_temp.tamper(format('DELETE FROM teller.seal WHERE ledger_id = 315 AND number = 2;
	UPDATE teller.journal SET amount = amount + 1 WHERE ledger_id = 315 AND id = %L', :'e'));
-- The last ones are removed, or the whole chain is made anew around a change: only
-- a digest that is kept elsewhere tells.
SELECT pg_temp.tamper('DELETE FROM teller.seal WHERE ledger_id = 315 AND number > 1');
SELECT pg_temp.tamper('DELETE FROM teller.seal WHERE ledger_id = 315 AND number > 1', :'d3');
SELECT pg_temp.tamper('DELETE FROM teller.seal WHERE ledger_id = 315 AND number > 1', :'d1');
SELECT pg_temp.tamper(format('DELETE FROM teller.seal WHERE ledger_id = 315;
	UPDATE teller.journal SET amount = amount + 1 WHERE ledger_id = 315 AND id = %L; SELECT teller.seal(315)', :'a'));
SELECT pg_temp.tamper(format('DELETE FROM teller.seal WHERE ledger_id = 315;
	UPDATE teller.journal SET amount = amount + 1 WHERE ledger_id = 315 AND id = %L; SELECT teller.seal(315)', :'a'), d)
FROM unnest(ARRAY[:'d1', :'d3']::bytea[]) AS d;
-- A seal put there with the digest of the auditor does not hide it.
SELECT pg_temp.tamper(format('UPDATE teller.journal SET amount = amount + 1 WHERE ledger_id = 315 AND id = %L;
	DELETE FROM teller.seal WHERE ledger_id = 315 AND number < 3; SELECT teller.seal(315);
	UPDATE teller.seal SET number = 1 WHERE ledger_id = 315', :'a'), :'d3');

-- More rows than a seal holds.
SELECT count(*) FROM teller.post(316, array_fill(1::bigint, '{7000}'), array_fill(2::bigint, '{7000}'), array_fill(1.00, '{7000}'));
SELECT count(*) FROM teller.post(316, array_fill(1::bigint, '{7000}'), array_fill(2::bigint, '{7000}'), array_fill(1.00, '{7000}'));
CALL pg_temp.settle();
SELECT sealed FROM teller.seal(316);
SELECT number, rows, total FROM teller.seal WHERE ledger_id = 316 ORDER BY number;
SELECT * FROM teller.verify_seal(316);
BEGIN;
UPDATE teller.journal SET amount = 2.00 WHERE ledger_id = 316 AND debit_version = 10011;
SELECT v.seal, j.debit_version FROM teller.verify_seal(316) AS v JOIN teller.journal AS j ON j.id = v.journal_id;
ROLLBACK;

-- verify() counts.
BEGIN;
DELETE FROM teller.seal WHERE ledger_id = 315 AND number = 2;
SELECT invariant, object, detail FROM teller.verify(315) ORDER BY object COLLATE "C";
ROLLBACK;

-- Rights and arguments.
CREATE ROLE regress_teller_seal;
GRANT USAGE ON SCHEMA teller TO regress_teller_seal;
SELECT teller.grant_ledger(315, 'regress_teller_seal', 'read');
SET ROLE regress_teller_seal;
SELECT count(*) FROM teller.verify_seal(315);
SELECT pg_temp.says('SELECT teller.verify_seal(316)');
SELECT pg_temp.says('SELECT teller.verify_seal(319)');
SELECT pg_temp.says('SELECT teller.seal(315)');
SELECT pg_temp.says('SELECT * FROM teller.seal');
RESET ROLE;
SELECT teller.revoke_ledger(315, 'regress_teller_seal');
REVOKE USAGE ON SCHEMA teller FROM regress_teller_seal;
DROP ROLE regress_teller_seal;
SELECT pg_temp.says('SELECT teller.seal(319)');
SELECT pg_temp.says('SELECT teller.seal(NULL)');
SELECT pg_temp.says('SELECT teller.verify_seal(319)');
SELECT pg_temp.says('SELECT teller.verify_seal(NULL)');
SELECT pg_temp.says('SELECT teller.verify_seal(315, '''')');
SELECT pg_temp.says('SELECT teller.verify_seal(315, sha512(''x''))');
SELECT * FROM teller.verify_seal(315, NULL);
SELECT detail FROM teller.verify_seal(315, sha256('x'));
BEGIN READ ONLY;
SELECT count(*) FROM teller.verify_seal(315);
SELECT pg_temp.says('SELECT teller.seal(315)');
ROLLBACK;

SELECT * FROM teller.verify_seal(315, :'d3');
SELECT * FROM teller.verify();
