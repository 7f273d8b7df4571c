-- Seen from outside: counters, the servers' health, what is in doubt, and
-- whether everything is set up.

CREATE FUNCTION teller.may_monitor() RETURNS boolean
	AS 'MODULE_PATHNAME', 'teller_may_monitor' LANGUAGE C STABLE PARALLEL SAFE;
COMMENT ON FUNCTION teller.may_monitor() IS
'True for members of pg_monitor and of the owner of pg_teller. The views over all ledgers filter by it. Locks: none.';

CREATE FUNCTION teller.stats_rows(OUT metric text, OUT label text, OUT value numeric) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_stats_rows' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION teller.stats_rows() IS
'The counters of the view teller.stats. No rows without shared_preload_libraries. Locks: none.';

CREATE FUNCTION teller.circuit_rows(OUT server_oid oid, OUT state text, OUT failures integer, OUT opens_at timestamptz) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_circuit_rows' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION teller.circuit_rows() IS
'The servers at which the last call failed, as the worker of this database knows them, for the view teller.server_health: state (closed, open, half_open), failures in a row, and when the next call may go. No rows without a worker. Locks: none.';

-- Counters and gauges ---------------------------------------------------

CREATE VIEW teller.stats WITH (security_barrier) AS
	SELECT s.metric, s.label, s.value FROM teller.stats_rows() s
	UNION ALL
	SELECT m.metric, '', m.value
	FROM teller.worker_rows() w
	JOIN pg_catalog.pg_database d ON d.oid = w.database_oid AND d.datname = current_database(),
	LATERAL (VALUES ('worker_running', (w.pid IS NOT NULL)::integer::numeric), ('worker_restarts', w.restarts),
		('swept_holds', w.swept), ('settled_operations', w.settled), ('calls_in_flight', w.in_flight)) AS m (metric, value)
	WHERE teller.may_monitor()
	UNION ALL
	SELECT m.metric, o.state, m.value
	FROM (SELECT state, count(*) AS operations, min(created_at) AS oldest
		FROM teller.operation_data WHERE state NOT IN ('settled', 'refunded') GROUP BY state) o,
	LATERAL (VALUES ('open_operations', o.operations::numeric),
		('oldest_operation_s', extract(epoch FROM greatest(clock_timestamp() - o.oldest, interval '0')))) AS m (metric, value)
	WHERE teller.may_monitor()
	UNION ALL
	SELECT m.metric, '', m.value
	FROM (SELECT count(*) AS holds, min(expires_at) AS oldest
		FROM teller.hold WHERE state = 'open' AND expires_at <= clock_timestamp()) h,
	LATERAL (VALUES ('due_holds', h.holds::numeric),
		('oldest_due_hold_s', coalesce(extract(epoch FROM clock_timestamp() - h.oldest), 0))) AS m (metric, value)
	WHERE teller.may_monitor()
	UNION ALL
	SELECT 'findings', kind, count(*)::numeric FROM teller.finding_data
	WHERE teller.may_monitor() GROUP BY kind;
COMMENT ON VIEW teller.stats IS
'What this database has done, in numbers, for graphs and alerts; one row for each metric and label. For members of pg_monitor and of the owner of pg_teller. Counters begin at the start of the server and need the preload: movements (journal rows), replays, denials and refusals by the name of their SQLSTATE, swept_holds, settled_operations, worker_restarts. Gauges are read from the tables: open_operations and oldest_operation_s by state, due_holds, oldest_due_hold_s, findings by kind, calls_in_flight, worker_running.';
COMMENT ON COLUMN teller.stats.label IS 'state, kind or name of an SQLSTATE; empty where there is none';
COMMENT ON COLUMN teller.stats.value IS 'a count, or seconds where the metric ends with _s';

-- Servers ---------------------------------------------------------------

CREATE VIEW teller.server_health WITH (security_barrier) AS
	WITH recent AS (
		SELECT o.server, a.outcome, a.verb, a.ended_at,
			extract(epoch FROM a.ended_at - a.started_at) * 1000 AS ms
		FROM teller.attempt_data a
		JOIN teller.operation_data o ON o.ledger_id = a.ledger_id AND o.id = a.operation_id
		WHERE a.started_at >= clock_timestamp() - interval '1 hour' AND teller.may_read(a.ledger_id)),
	calls AS (
		SELECT server,
			count(*) FILTER (WHERE outcome IN ('executed', 'rejected', 'cancelled', 'expired', 'busy', 'not_found')) AS answered,
			count(*) FILTER (WHERE outcome IN ('not_sent', 'not_executed')) AS not_executed,
			count(*) FILTER (WHERE outcome = 'misconfigured') AS misconfigured,
			count(*) FILTER (WHERE outcome IN ('ambiguous', 'lost')) AS ambiguous,
			count(*) FILTER (WHERE outcome = 'conflict') AS conflicts,
			count(*) FILTER (WHERE outcome IS NULL) AS in_flight,
			percentile_cont(ARRAY[0.5, 0.95, 0.99]) WITHIN GROUP (ORDER BY ms)
				FILTER (WHERE outcome IN ('executed', 'rejected', 'cancelled', 'expired')) AS ms,
			max(ended_at) FILTER (WHERE outcome IN ('executed', 'rejected', 'cancelled', 'expired', 'busy', 'not_found')) AS last_answer_at
		FROM recent GROUP BY server),
	queue AS (
		SELECT server, count(*) AS open_operations,
			count(*) FILTER (WHERE state IN ('in_doubt', 'fencing', 'conflict', 'quarantined')) AS in_doubt,
			min(created_at) AS oldest_at
		FROM teller.operation_data
		WHERE state NOT IN ('settled', 'refunded') AND teller.may_read(ledger_id) GROUP BY server)
	SELECT s.srvname AS server, w.fdwname AS wrapper, coalesce(c.state, 'closed') AS circuit,
		coalesce(c.failures, 0) AS failures_in_a_row, c.opens_at,
		coalesce(q.open_operations, 0) AS open_operations, coalesce(q.in_doubt, 0) AS in_doubt, q.oldest_at,
		coalesce(r.in_flight, 0) AS in_flight, coalesce(r.answered, 0) AS answered,
		coalesce(r.not_executed, 0) AS not_executed, coalesce(r.misconfigured, 0) AS misconfigured,
		coalesce(r.ambiguous, 0) AS ambiguous, coalesce(r.conflicts, 0) AS conflicts,
		round(r.ms[1]::numeric, 1) AS p50_ms, round(r.ms[2]::numeric, 1) AS p95_ms,
		round(r.ms[3]::numeric, 1) AS p99_ms, r.last_answer_at
	FROM pg_catalog.pg_foreign_server s
	JOIN pg_catalog.pg_foreign_data_wrapper w ON w.oid = s.srvfdw
		AND w.fdwname IN ('teller_postgres', 'teller_http', 'teller_pull')
	LEFT JOIN teller.circuit_rows() c ON c.server_oid = s.oid
	LEFT JOIN calls r ON r.server = s.srvname
	LEFT JOIN queue q ON q.server = s.srvname
	WHERE teller.may_monitor() OR pg_catalog.has_server_privilege(s.oid, 'USAGE');
COMMENT ON VIEW teller.server_health IS
'Each server, what its calls of the last hour came to, and what waits for it; of the ledgers that the current user may read. The circuit is the worker''s: open, it leaves the server alone until opens_at; half_open, one call may try.';
COMMENT ON COLUMN teller.server_health.answered IS 'calls of the last hour that brought an answer of the ledger behind the server';
COMMENT ON COLUMN teller.server_health.not_executed IS 'calls that are proven not to have run there';
COMMENT ON COLUMN teller.server_health.ambiguous IS 'calls that may have run there, and those whose worker was lost';
COMMENT ON COLUMN teller.server_health.in_flight IS 'calls of the last hour that have no outcome yet';
COMMENT ON COLUMN teller.server_health.in_doubt IS 'operations in_doubt, fencing, conflict or quarantined';
COMMENT ON COLUMN teller.server_health.p50_ms IS 'half of the executes and fences that were answered took at most so many milliseconds';

CREATE VIEW teller.in_doubt WITH (security_barrier) AS
	SELECT o.ledger_id, o.id, o.account_id, o.direction, o.server, o.nonce, o.memo, o.amount, o.asset,
		o.state, clock_timestamp() - o.created_at AS age, o.attempts, o.last_error, o.next_try_at,
		CASE
			WHEN o.state = 'conflict' THEN 'ask the remote about the memo, then teller.resolve()'
			WHEN o.state = 'quarantined' THEN 'teller.adopt_instance(), if no other server carries on with these books'
			WHEN s.oid IS NULL THEN 'the server is gone: create it again, or ask the remote and teller.resolve()'
			WHEN s.silent = 2 THEN 'the remote can neither be asked nor fenced: ask its people about the memo, then teller.resolve()'
			WHEN o.state = 'fencing' THEN 'the worker waits for the answer to a fence'
			ELSE 'the worker asks again at next_try_at'
		END AS next_step
	FROM teller.operation_data o
	LEFT JOIN (SELECT f.oid, f.srvname, count(*) FILTER (WHERE x.option ~* '^can_(lookup|fence)=(off|false|f|no|n|0)$') AS silent
		FROM pg_catalog.pg_foreign_server f LEFT JOIN unnest(f.srvoptions) AS x (option) ON true
		GROUP BY f.oid, f.srvname) s ON s.srvname = o.server
	WHERE o.state IN ('in_doubt', 'fencing', 'conflict', 'quarantined') AND teller.may_read(o.ledger_id);
COMMENT ON VIEW teller.in_doubt IS
'The operations whose money is held because nobody knows yet whether the remote executed them, and what comes next for each; of the ledgers that the current user may read.';
COMMENT ON COLUMN teller.in_doubt.age IS 'since its submission';
COMMENT ON COLUMN teller.in_doubt.next_step IS 'what will happen, or what a person has to do';

-- The set-up ------------------------------------------------------------

CREATE VIEW teller.config_check WITH (security_barrier) AS
	WITH worker AS (
		SELECT w.state, w.pid, w.dispatch, w.last_error FROM teller.worker_rows() w
		JOIN pg_catalog.pg_database d ON d.oid = w.database_oid AND d.datname = current_database()),
	checks (check_name, ok, says, mend) AS (
		SELECT 'preload', EXISTS (SELECT FROM worker),
			CASE WHEN EXISTS (SELECT FROM worker) THEN 'the library is preloaded' ELSE 'the library is not preloaded: no worker expires holds or makes calls' END,
			'Add pg_teller to shared_preload_libraries in postgresql.conf and restart the server.'
		UNION ALL
		SELECT 'worker', w.pid IS NOT NULL AND w.state NOT IN ('version_mismatch', 'backing_off'),
			'the worker of this database is ' || w.state || coalesce(': ' || w.last_error, ''),
			CASE WHEN w.state = 'version_mismatch' THEN 'Run ALTER EXTENSION pg_teller UPDATE, or restart the server if its library is the older one.'
				WHEN w.pid IS NULL THEN 'Raise max_worker_processes and restart, unless last_error tells of something else.'
				ELSE 'See the server log.' END
		FROM worker w
		UNION ALL
		SELECT 'adopted', w.state <> 'not_adopted',
			CASE WHEN w.state = 'not_adopted' THEN 'this database is a copy: it sends nothing' ELSE 'this database is the one it was' END,
			'If no other server carries on with these books: SELECT teller.adopt_instance();'
		FROM worker w
		UNION ALL
		SELECT 'dispatch', current_setting('teller.dispatch', true) IS DISTINCT FROM 'off',
			'teller.dispatch is ' || coalesce(current_setting('teller.dispatch', true), 'on'),
			'ALTER SYSTEM SET teller.dispatch = on; SELECT pg_reload_conf();'
		UNION ALL
		SELECT s.check_name, current_setting(s.setting) = s.wanted,
			s.setting || ' is ' || current_setting(s.setting) || CASE WHEN current_setting(s.setting) = s.wanted THEN '' ELSE ': ' || s.why END,
			format('ALTER SYSTEM SET %s = %s; then %s', s.setting, s.wanted, s.how)
		FROM (VALUES
			('fsync', 'fsync', 'on', 'a crash may lose committed money, or the book', 'SELECT pg_reload_conf();'),
			('full_page_writes', 'full_page_writes', 'on', 'a crash may tear pages of the book', 'SELECT pg_reload_conf();'),
			('autovacuum', 'autovacuum', 'on', 'account rows will bloat', 'SELECT pg_reload_conf();'),
			('row_security', 'row_security', 'on', 'a query that row security would filter fails', 'SELECT pg_reload_conf();'))
			AS s (check_name, setting, wanted, why, how)
		UNION ALL
		SELECT 'synchronous_commit', current_setting('synchronous_commit') <> 'off',
			'synchronous_commit is ' || current_setting('synchronous_commit')
				|| CASE WHEN current_setting('synchronous_commit') = 'off' THEN ': a crash may forget the last movements that were answered (operations are flushed in any case)' ELSE '' END,
			'Set it to on for the roles that move money.'
		UNION ALL
		SELECT 'isolation', current_setting('default_transaction_isolation') = 'read committed',
			'default_transaction_isolation is ' || current_setting('default_transaction_isolation'),
			'Calls are exact at read committed; above it they raise 40001 more often, which the application must retry.'
		UNION ALL
		SELECT 'data_checksums', current_setting('data_checksums') = 'on',
			'data_checksums is ' || current_setting('data_checksums'),
			'pg_checksums --enable while the server is stopped, so that a bad disk is noticed.'
		UNION ALL
		SELECT 'own_tables', count(t.relname) = 0,
			CASE WHEN count(t.relname) = 0 THEN 'no trigger, rule or row security is on the tables of pg_teller'
				ELSE 'with a trigger, rule or row security, and refused at use: ' || string_agg(t.relname, ', ' ORDER BY t.relname) END,
			'Drop it; react to the feed teller.journal_since or to on_complete instead.'
		FROM (SELECT c.relname::text FROM pg_catalog.pg_class c
			WHERE c.relnamespace = 'teller'::regnamespace AND c.relkind = 'r' AND (c.relrowsecurity OR c.relhasrules
				OR EXISTS (SELECT FROM pg_catalog.pg_trigger g WHERE g.tgrelid = c.oid AND NOT g.tgisinternal))) t
		UNION ALL
		SELECT 'settlement', count(o.server) = 0,
			CASE WHEN count(o.server) = 0 THEN 'every open operation has its server' ELSE 'open operations of servers that are gone: ' || string_agg(o.server, ', ' ORDER BY o.server) END,
			'CREATE SERVER again under the same name, or teller.resolve() each operation.'
		FROM (SELECT DISTINCT d.server::text FROM teller.operation_data d
			WHERE d.state NOT IN ('settled', 'refunded')
				AND NOT EXISTS (SELECT FROM pg_catalog.pg_foreign_server s WHERE s.srvname = d.server)) o
		UNION ALL
		SELECT 'due_holds', count(h.hold_id) = 0,
			count(h.hold_id) || ' holds have been due for more than five minutes',
			'See the worker; without one let a job call teller.expire_due().'
		FROM (SELECT hold_id FROM teller.hold WHERE state = 'open' AND expires_at <= clock_timestamp() - interval '5 min' LIMIT 1000) h
		UNION ALL
		SELECT 'in_doubt', count(o.id) = 0,
			count(o.id) || ' operations need a person or have been in doubt for more than an hour',
			'SELECT * FROM teller.in_doubt ORDER BY age DESC; and see docs/running.md.'
		FROM (SELECT id FROM teller.operation_data WHERE state IN ('conflict', 'quarantined')
			OR (state IN ('in_doubt', 'fencing') AND created_at <= clock_timestamp() - interval '1 hour') LIMIT 1000) o)
	SELECT c.check_name, c.ok, c.says, CASE WHEN NOT c.ok THEN c.mend END AS mend
	FROM checks c WHERE teller.may_monitor();
COMMENT ON VIEW teller.config_check IS 'the rows of teller.check_config()';

CREATE FUNCTION teller.check_config(OUT check_name text, OUT ok boolean, OUT says text, OUT mend text) RETURNS SETOF record
	LANGUAGE sql VOLATILE PARALLEL UNSAFE
BEGIN ATOMIC
	SELECT c.check_name, c.ok, c.says, c.mend FROM teller.config_check c;
END;
COMMENT ON FUNCTION teller.check_config() IS
$$Is this server set up as money needs it? One row for each check; a check that fails says in words what is wrong and the line that mends it.
Result: check_name: preload, and with it worker, adopted; dispatch, fsync, full_page_writes, autovacuum, row_security, synchronous_commit, isolation, data_checksums, own_tables, settlement, due_holds, in_doubt; ok; says: what was found; mend: what to do, NULL if it is ok. For the operations of one server see teller.check_server.
Errors: none. Locks: none. Right: pg_monitor or the owner of pg_teller; no rows for others.$$;
