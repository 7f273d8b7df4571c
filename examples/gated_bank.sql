-- gated_bank.sql: a bank that keeps calls waiting, or loses its replies, when
-- a test says so.
--
-- Between your database and the bank stands a third database, the gate.  It
-- has a schema teller_remote with the functions of the contract.  Each of them
-- calls the bank's function of the same name over dblink, as the same role.
-- The bank is a database with pg_teller as any other and knows nothing of the
-- gate.  What the gate adds:
--
--	 before an execute goes on to the bank it waits while the gate is closed;
--	 a call may be dropped: the session ends before the bank is asked;
--	 a reply may be lost: the session ends after the bank has done its work and
--	 committed.  The caller cannot tell the one from the other.
--
-- Install it as a superuser, in the cluster of the bank, with dblink at hand
-- (Debian: it comes with the server):
--
--	 createdb gate
--	 psql -d gate -v bank=bank -f gated_bank.sql
--
-- Then use `gate` for `bank` in the server's options:
--
--	 CREATE SERVER bank FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname 'gate');
--
-- For tests only: whoever may connect to the gate may call the bank as the
-- role that he connected as.
\set ON_ERROR_STOP on
\if :{?bank}
\else
\set bank bank
\endif

CREATE SCHEMA gate;
COMMENT ON SCHEMA gate IS 'how a test holds calls and loses replies';
CREATE EXTENSION dblink SCHEMA gate;

-- The columns of an answer, as in the contract.
CREATE TYPE gate.answer AS (
	memo bytea, status text, reference text, reason text, amount numeric,
	asset text, executed_at timestamptz, replayed boolean,
	server_now timestamptz);

CREATE FUNCTION gate.conn_value(value text) RETURNS text
LANGUAGE sql IMMUTABLE AS $$
	SELECT '''' || replace(replace(value, '\', '\\'), '''', '\''') || ''''
$$;

-- Where the bank is: this very cluster, over its first socket.  Change the
-- row if it is elsewhere.
CREATE TABLE gate.bank (conninfo text NOT NULL);
INSERT INTO gate.bank
	SELECT format('host=%s port=%s dbname=%s',
		gate.conn_value(coalesce(nullif(btrim(split_part(
			current_setting('unix_socket_directories'), ',', 1)), ''), 'localhost')),
		current_setting('port'), gate.conn_value(:'bank'));

CREATE TABLE gate.rule (
	verb		text PRIMARY KEY CHECK (verb IN ('execute', 'lookup', 'fence')),
	drop_until	bigint NOT NULL DEFAULT 0,	-- calls up to this number are dropped
	lose_until	bigint NOT NULL DEFAULT 0,	-- replies up to this number are lost
	lose_every	integer NOT NULL DEFAULT 0,	-- and each one it divides; 0: none
	delay		interval NOT NULL DEFAULT '0'
);
INSERT INTO gate.rule (verb) VALUES ('execute'), ('lookup'), ('fence');
-- They number calls and replies.  Nothing takes a number back, the end of a
-- session least of all.
CREATE SEQUENCE gate.call_execute;
CREATE SEQUENCE gate.call_lookup;
CREATE SEQUENCE gate.call_fence;
CREATE SEQUENCE gate.reply_execute;
CREATE SEQUENCE gate.reply_lookup;
CREATE SEQUENCE gate.reply_fence;

-- What a test calls ------------------------------------------------------

-- An advisory lock is the gate.  Place 0 is for all executes.
CREATE FUNCTION gate.place(nonce text) RETURNS integer
LANGUAGE sql STABLE AS $$ SELECT coalesce(hashtext(nonce), 0) $$;

CREATE FUNCTION gate.class() RETURNS integer
LANGUAGE sql STABLE AS $$ SELECT 'gate'::regnamespace::oid::integer $$;

CREATE FUNCTION gate.held(place integer) RETURNS boolean
LANGUAGE sql VOLATILE AS $$
	SELECT EXISTS (SELECT FROM pg_locks
		WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock'
			AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
			AND classid = gate.class()::oid AND objid = place::bit(32)::bigint::oid
			AND objsubid = 2 AND pid = pg_backend_pid())
$$;

CREATE FUNCTION gate.close(nonce text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	IF NOT gate.held(gate.place(nonce)) THEN
		PERFORM pg_advisory_lock(gate.class(), gate.place(nonce));
	END IF;
END
$$;
COMMENT ON FUNCTION gate.close(text) IS
'From now on executes wait before they reach the bank: that with this nonce, or all if it is NULL. The gate is closed by the session, whatever its transactions do, and opens when the session ends. It is open at first.';

CREATE FUNCTION gate.open(nonce text DEFAULT NULL) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	IF NOT gate.held(gate.place(nonce)) THEN
		RAISE EXCEPTION USING errcode = '55000',
			message = 'this session has not closed the gate';
	END IF;
	PERFORM pg_advisory_unlock(gate.class(), gate.place(nonce));
END
$$;
COMMENT ON FUNCTION gate.open(text) IS
'Let go what gate.close with the same argument, in the same session, keeps waiting. An execute that waits for its own nonce and for all needs both.';

CREATE FUNCTION gate.waiting() RETURNS integer
LANGUAGE sql VOLATILE AS $$
	SELECT count(*)::integer FROM pg_locks
	WHERE locktype = 'advisory' AND NOT granted AND mode = 'ShareLock'
		AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
		AND classid = gate.class()::oid AND objsubid = 2
$$;
COMMENT ON FUNCTION gate.waiting() IS
'How many executes wait at the gate.';

CREATE FUNCTION gate.wait_for(calls integer DEFAULT 1, timeout interval DEFAULT '20 s') RETURNS integer
LANGUAGE plpgsql AS $$
DECLARE
	deadline timestamptz := clock_timestamp() + timeout;
BEGIN
	WHILE gate.waiting() < calls LOOP
		IF clock_timestamp() > deadline THEN
			RAISE EXCEPTION USING errcode = '57014',
				message = format('%s of %s calls wait at the gate after %s',
					gate.waiting(), calls, timeout);
		END IF;
		PERFORM pg_sleep(0.01);
	END LOOP;
	RETURN gate.waiting();
END
$$;
COMMENT ON FUNCTION gate.wait_for(integer, interval) IS
'Return as soon as this many executes wait at the gate, with their number; 57014 after the timeout.';

CREATE FUNCTION gate.drop_next(calls integer DEFAULT 1, verb text DEFAULT 'execute') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM gate.check_verb(verb);
	UPDATE gate.rule AS r
		SET drop_until = gate.last_number('call_' || drop_next.verb) + calls
		WHERE r.verb = drop_next.verb;
END
$$;
COMMENT ON FUNCTION gate.drop_next(integer, text) IS
'Drop the next calls of a verb (execute, lookup, fence): the caller''s connection breaks, and the bank was not asked. 0: no more.';

CREATE FUNCTION gate.lose_next(replies integer DEFAULT 1, verb text DEFAULT 'execute') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM gate.check_verb(verb);
	UPDATE gate.rule AS r
		SET lose_until = gate.last_number('reply_' || lose_next.verb) + replies
		WHERE r.verb = lose_next.verb;
END
$$;
COMMENT ON FUNCTION gate.lose_next(integer, text) IS
'Lose the next replies of a verb: the bank does what it is asked, commits, and the caller''s connection breaks. 0: no more.';

CREATE FUNCTION gate.lose_every(nth integer, verb text DEFAULT 'execute') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM gate.check_verb(verb);
	UPDATE gate.rule AS r SET lose_every = nth WHERE r.verb = lose_every.verb;
END
$$;
COMMENT ON FUNCTION gate.lose_every(integer, text) IS
'Lose each nth reply of a verb from now on; 10 loses every tenth, 1 all, 0 none.';

CREATE FUNCTION gate.slow(delay interval, verb text DEFAULT 'execute') RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	PERFORM gate.check_verb(verb);
	UPDATE gate.rule AS r SET delay = slow.delay WHERE r.verb = slow.verb;
END
$$;
COMMENT ON FUNCTION gate.slow(interval, text) IS
'Answer a verb this much later than the bank does; ''0'' for at once.';

-- What the calls go through ----------------------------------------------

CREATE FUNCTION gate.check_verb(verb text) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	IF NOT EXISTS (SELECT FROM gate.rule AS r WHERE r.verb = check_verb.verb) THEN
		RAISE EXCEPTION USING errcode = '22023',
			message = 'verb must be execute, lookup or fence';
	END IF;
END
$$;

CREATE FUNCTION gate.last_number(sequence text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	number bigint;
BEGIN
	EXECUTE format('SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM gate.%I',
		sequence) INTO number;
	RETURN number;
END
$$;

CREATE FUNCTION gate.next_number(sequence text) RETURNS bigint
LANGUAGE sql AS $$ SELECT nextval(format('gate.%I', sequence)::regclass) $$;

CREATE FUNCTION gate.vanish() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	LOOP
		PERFORM pg_terminate_backend(pg_backend_pid());
		PERFORM pg_sleep(0.01);
	END LOOP;
END
$$;

-- One connection to the bank for each session here, as the same role and with
-- the same timeouts.
CREATE FUNCTION gate.connect() RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
	IF 'bank' = ANY (gate.dblink_get_connections()) THEN
		RETURN;
	END IF;
	PERFORM gate.dblink_connect('bank',
		format('%s user=%s', conninfo, gate.conn_value(current_user)))
	FROM gate.bank;
	PERFORM gate.dblink_exec('bank', format(
		'SET statement_timeout = %L; SET lock_timeout = %L; SET ROLE %I',
		current_setting('statement_timeout'), current_setting('lock_timeout'),
		session_user));
END
$$;

-- An ERROR tells the caller that nothing was done.  So once the bank has been
-- asked, an error is passed on only if the bank itself raised it; whatever
-- else goes wrong here breaks the connection.
CREATE FUNCTION gate.ask(verb text, query text) RETURNS gate.answer
LANGUAGE plpgsql AS $$
DECLARE
	answer gate.answer;
	rule gate.rule;
	number bigint;
BEGIN
	PERFORM gate.connect();
	IF gate.next_number('call_' || verb)
		<= (SELECT r.drop_until FROM gate.rule AS r WHERE r.verb = ask.verb) THEN
		PERFORM gate.vanish();
	END IF;
	BEGIN
		SELECT * INTO STRICT answer FROM gate.dblink('bank', query) AS r(
			memo bytea, status text, reference text, reason text,
			amount numeric, asset text, executed_at timestamptz,
			replayed boolean, server_now timestamptz);
	EXCEPTION
		WHEN query_canceled THEN
			PERFORM gate.vanish();
		WHEN OTHERS THEN
			IF left(sqlstate, 2) IN ('08', '57', '58', 'P0', 'XX') THEN
				PERFORM gate.vanish();
			END IF;
			RAISE;
	END;
	BEGIN
		SELECT * INTO STRICT rule FROM gate.rule AS r WHERE r.verb = ask.verb;
		number := gate.next_number('reply_' || verb);
		PERFORM pg_sleep_for(rule.delay);
		IF number <= rule.lose_until
			OR (rule.lose_every > 0 AND number % rule.lose_every = 0) THEN
			PERFORM gate.vanish();
		END IF;
	EXCEPTION
		WHEN query_canceled OR OTHERS THEN
			PERFORM gate.vanish();
	END;
	RETURN answer;
END
$$;

-- The contract ------------------------------------------------------------

CREATE SCHEMA teller_remote;
COMMENT ON SCHEMA teller_remote IS 'the bank behind the gate';

CREATE FUNCTION teller_remote.capabilities() RETURNS jsonb
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM gate.connect();
	RETURN (SELECT c FROM gate.dblink('bank',
		'SELECT teller_remote.capabilities()') AS r(c jsonb));
END
$$;

CREATE FUNCTION teller_remote.execute(
	memo bytea, origin uuid, ledger bigint, direction text, account text,
	amount numeric, asset text, nonce text, not_after timestamptz,
	payload jsonb) RETURNS gate.answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	-- Nothing has left yet: an error while it waits is a true one.
	PERFORM pg_advisory_lock_shared(gate.class(), 0);
	PERFORM pg_advisory_unlock_shared(gate.class(), 0);
	IF nonce IS NOT NULL THEN
		PERFORM pg_advisory_lock_shared(gate.class(), gate.place(nonce));
		PERFORM pg_advisory_unlock_shared(gate.class(), gate.place(nonce));
	END IF;
	RETURN gate.ask('execute', format(
		'SELECT * FROM teller_remote.execute(%L, %L, %L, %L, %L, %L, %L, %L, %L, %L)',
		memo, origin, ledger, direction, account, amount, asset, nonce,
		to_json(not_after) #>> '{}', payload));
END
$$;

CREATE FUNCTION teller_remote.lookup(memo bytea) RETURNS gate.answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN gate.ask('lookup', format(
		'SELECT * FROM teller_remote.lookup(%L)', memo));
END
$$;

CREATE FUNCTION teller_remote.fence(memo bytea, origin uuid, reason text) RETURNS gate.answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	RETURN gate.ask('fence', format(
		'SELECT * FROM teller_remote.fence(%L, %L, %L)', memo, origin, reason));
END
$$;

CREATE FUNCTION teller_remote.list_since(origin uuid, after timestamptz, max_rows integer)
RETURNS SETOF gate.answer
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
	PERFORM gate.connect();
	RETURN QUERY SELECT * FROM gate.dblink('bank', format(
		'SELECT * FROM teller_remote.list_since(%L, %L, %L)', origin,
		to_json(after) #>> '{}', max_rows)) AS r(
			memo bytea, status text, reference text, reason text,
			amount numeric, asset text, executed_at timestamptz,
			replayed boolean, server_now timestamptz);
END
$$;

GRANT USAGE ON SCHEMA teller_remote TO PUBLIC;
