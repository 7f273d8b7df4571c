-- EXECUTE stays with PUBLIC: each function asks for its own right.  USAGE on
-- the schemas is for the administrator to grant.  The views filter by ledger.

REVOKE ALL ON SCHEMA teller, teller_remote FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA teller FROM PUBLIC;
GRANT SELECT ON teller.movement, teller.posting, teller.account_balance,
	teller.open_hold, teller.limit_change, teller.operation, teller.attempt, teller.finding, teller.reconciliation, teller.continuation,
	teller.worker_status,
	teller.stats, teller.server_health, teller.in_doubt, teller.config_check TO PUBLIC;
