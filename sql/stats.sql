-- Seen from outside: who may see the figures, what check_config() finds.  What
-- needs a worker is in test/t/055_stats.pl.
\set VERBOSITY terse
SELECT teller.create_ledger(391), teller.create_asset('USD', 2);
SELECT teller.open_account(391, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(391, 2, 'USD', 'alice');
SELECT status FROM teller.transfer(391, 1, 2, 100);
CREATE ROLE regress_teller_app;
CREATE ROLE regress_teller_graph;
GRANT USAGE ON SCHEMA teller TO regress_teller_app, regress_teller_graph;
GRANT pg_monitor TO regress_teller_graph;
SELECT teller.grant_ledger(391, 'regress_teller_app', 'operate');

-- Figures over all ledgers are for those who watch the server.
SET ROLE regress_teller_app;
SELECT teller.may_monitor();
SELECT count(*) FROM teller.stats;
SELECT count(*) FROM teller.check_config();
SELECT count(*) FROM teller.server_health;
SET ROLE regress_teller_graph;
SELECT teller.may_monitor();
SELECT metric, label FROM teller.stats WHERE metric IN ('due_holds', 'oldest_due_hold_s');
SELECT count(*) > 10 FROM teller.check_config();
SELECT count(*) FROM teller.in_doubt;
RESET ROLE;

-- Everything is set up: a check that is ok has nothing to mend, one that is
-- not has.
SELECT check_name FROM teller.check_config() WHERE ok <> (mend IS NULL);
SELECT check_name, ok, says FROM teller.check_config()
WHERE check_name IN ('dispatch', 'own_tables', 'settlement', 'row_security', 'in_doubt');

-- Each thing that is not, is found.
SET row_security = off;
SELECT ok, says, mend FROM teller.check_config() WHERE check_name = 'row_security';
RESET row_security;
SET synchronous_commit = off;
SELECT ok, says FROM teller.check_config() WHERE check_name = 'synchronous_commit';
RESET synchronous_commit;
SET default_transaction_isolation = serializable;
SELECT ok, says FROM teller.check_config() WHERE check_name = 'isolation';
RESET default_transaction_isolation;
BEGIN;
CREATE FUNCTION pg_temp.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER regress_listener AFTER INSERT ON teller.journal FOR EACH ROW EXECUTE FUNCTION pg_temp.nothing();
ALTER TABLE teller.key ENABLE ROW LEVEL SECURITY;
SELECT ok, says FROM teller.check_config() WHERE check_name = 'own_tables';
ROLLBACK;
BEGIN;
SELECT status FROM teller.hold(391, 2, 1, 10, '1 day');
ALTER TABLE teller.hold DISABLE TRIGGER ALL;
UPDATE teller.hold SET expires_at = clock_timestamp() - interval '10 min' WHERE ledger_id = 391;
SELECT ok, says FROM teller.check_config() WHERE check_name = 'due_holds';
SELECT metric, value >= 1 FROM teller.stats WHERE metric IN ('due_holds', 'oldest_due_hold_s');
ROLLBACK;

-- A server that nobody used is well, and whoever may not use it does not see it.
CREATE SERVER regress_idle FOREIGN DATA WRAPPER teller_postgres OPTIONS (dbname 'nowhere');
SELECT server, wrapper, circuit, failures_in_a_row, open_operations, answered, p50_ms FROM teller.server_health
WHERE server = 'regress_idle';
SET ROLE regress_teller_app;
SELECT count(*) FROM teller.server_health WHERE server = 'regress_idle';
RESET ROLE;
GRANT USAGE ON FOREIGN SERVER regress_idle TO regress_teller_app;
SET ROLE regress_teller_app;
SELECT count(*) FROM teller.server_health WHERE server = 'regress_idle';
RESET ROLE;

DROP SERVER regress_idle;
SELECT teller.revoke_ledger(391, 'regress_teller_app');
DROP OWNED BY regress_teller_app, regress_teller_graph;
DROP ROLE regress_teller_app, regress_teller_graph;
SELECT * FROM teller.verify(391);
