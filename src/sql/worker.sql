-- The worker: its state, its wake-up, and the guard on DROP EXTENSION.

CREATE FUNCTION teller.worker_rows(
	OUT database_oid oid, OUT pid integer, OUT state text, OUT dispatch boolean,
	OUT started_at timestamptz, OUT last_active_at timestamptz,
	OUT next_wake_at timestamptz, OUT in_flight integer, OUT swept bigint,
	OUT settled bigint, OUT restarts integer, OUT last_error text,
	OUT last_error_at timestamptz)
	RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_worker_rows' LANGUAGE C VOLATILE PARALLEL RESTRICTED;
COMMENT ON FUNCTION teller.worker_rows() IS
'The rows of the view teller.worker_status. No rows without shared_preload_libraries. Locks: none.';

CREATE VIEW teller.worker_status AS
	SELECT d.datname AS database, r.pid, r.state, r.dispatch, r.started_at,
		   r.last_active_at, r.next_wake_at, r.in_flight, r.swept, r.settled,
		   r.restarts, r.last_error, r.last_error_at
	FROM teller.worker_rows() r
	JOIN pg_catalog.pg_database d ON d.oid OPERATOR(pg_catalog.=) r.database_oid;
COMMENT ON VIEW teller.worker_status IS
'The worker of this database; for members of pg_monitor, of every database. Empty without shared_preload_libraries.';
COMMENT ON COLUMN teller.worker_status.pid IS
'its process, as in pg_stat_activity; NULL while there is none';
COMMENT ON COLUMN teller.worker_status.state IS
'starting, running, idle, draining (told to stop, collects replies), version_mismatch (ALTER EXTENSION UPDATE or a restart is due), not_adopted (dispatch waits for teller.adopt_instance), backing_off (failed, will be started again), away (another command needs the database for itself), none (no worker)';
COMMENT ON COLUMN teller.worker_status.dispatch IS
'operations are being sent';
COMMENT ON COLUMN teller.worker_status.last_active_at IS
'when it last looked for work';
COMMENT ON COLUMN teller.worker_status.next_wake_at IS
'when it will look again if nothing wakes it before';
COMMENT ON COLUMN teller.worker_status.in_flight IS
'calls to remote ledgers that are open now';
COMMENT ON COLUMN teller.worker_status.swept IS
'holds that the worker expired since the server started';
COMMENT ON COLUMN teller.worker_status.settled IS
'operations that the worker settled since the server started';
COMMENT ON COLUMN teller.worker_status.restarts IS
'times the worker was started again since the server started';
COMMENT ON COLUMN teller.worker_status.last_error IS
'the last error of the worker, which it may have got over; for members of pg_monitor or of the owner of the extension';

CREATE FUNCTION teller.wake() RETURNS void
	AS 'MODULE_PATHNAME', 'teller_wake' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.wake() IS
'Once this transaction has committed, the worker of this database looks for work at once. Needed by nobody: it is woken by commits, and looks every ten seconds for those that cannot wake it, as COMMIT PREPARED. Locks: none.';

CREATE FUNCTION teller.guard_drop() RETURNS event_trigger
	AS 'MODULE_PATHNAME', 'teller_guard_drop' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.guard_drop() IS
'Refuses to drop pg_teller while there are accounts (55000), unless teller.allow_drop is on.';

CREATE EVENT TRIGGER teller_guard_drop ON ddl_command_start
	WHEN TAG IN ('DROP EXTENSION', 'DROP SCHEMA', 'DROP OWNED')
	EXECUTE FUNCTION teller.guard_drop();
COMMENT ON EVENT TRIGGER teller_guard_drop IS
'refuses to drop pg_teller while there are accounts';
-- The guard holds with session_replication_role = replica too.
ALTER EVENT TRIGGER teller_guard_drop ENABLE ALWAYS;

-- Once CREATE EXTENSION has committed, the launcher starts a worker.
SELECT teller.wake();
