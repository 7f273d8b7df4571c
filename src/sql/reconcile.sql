-- What the remote's book says, compared with the operations here.

CREATE FUNCTION teller.reconcile(ledger bigint, server name, since timestamptz DEFAULT NULL,
	OUT memo bytea, OUT operation uuid, OUT remote_status text, OUT remote_reference text,
	OUT amount numeric, OUT asset text, OUT executed_at timestamptz, OUT state text,
	OUT verdict text) RETURNS SETOF record
	AS 'MODULE_PATHNAME', 'teller_reconcile' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.reconcile(bigint, name, timestamptz) IS
$$Compare the remote's book with the operations here: one row for each memo that the remote has answered for this instance, also before adopt_instance(). The worker fetches the list, under the user mapping of the current user; memos that went out under another role at the remote are not in it.
Arguments: server: of wrapper teller_postgres, with a settlement account; since: only what was answered later than that, by the remote's clock; NULL: everything.
Result: memo; operation and state: of the operation here, NULL if there is none; remote_status, remote_reference, amount, asset, executed_at: what the remote says. verdict: agrees; open: not ended here yet; unknown_here: no operation here has this memo, as after a restore that lost it, where a repeat under its nonce brings it back; differs: executed there and refunded here, or the reverse, or another amount or asset.
unknown_here and differs are written to teller.finding, once for each memo. What the balances say goes to the view teller.reconciliation. A memo of another ledger that uses the same server is left out; one that is unknown to all of them shows in each.
Errors: TL009 (server), 0A000 (a wrapper that has no list), 55000 (no settlement account, no preload, the worker does not answer, or the remote: see DETAIL), 54000, 25001 (REPEATABLE READ or above), 25006, 22004, 22007, 22023, 22P02, 42501. Locks: none is held while the remote is asked. Waits for each page at most the timeouts of one call. Right: the owner of pg_teller.$$;

CREATE VIEW teller.reconciliation WITH (security_barrier) AS
	SELECT s.ledger_id, s.server, s.account_id AS settlement_account, r.reconciled_at, r.posted,
		r.remote_posted, r.in_doubt, -r.posted - r.remote_posted AS difference, r.executed_there,
		-r.posted - r.remote_posted - r.executed_there BETWEEN -r.late_out AND -r.late_in AS explained,
		r.since, r.agrees, r.open, r.unknown_here, r.differs
	FROM teller.settlement s
	LEFT JOIN teller.reconciliation_data r ON r.ledger_id = s.ledger_id AND r.server = s.server
		AND r.settlement_account = s.account_id
	WHERE teller.may_read(s.ledger_id);
COMMENT ON VIEW teller.reconciliation IS
'Each settlement account beside the account at the server that it mirrors, as they were at the last teller.reconcile(); NULL if there was none. The settlement account is the negative of our account there, up to operations that the remote has executed and that have not ended here. Of the ledgers that the current user may read.';
COMMENT ON COLUMN teller.reconciliation.posted IS 'of the settlement account, at reconciled_at';
COMMENT ON COLUMN teller.reconciliation.remote_posted IS 'of our account there; NULL if the remote does not say';
COMMENT ON COLUMN teller.reconciliation.in_doubt IS 'held for operations that had not ended, withdrawals and deposits added up';
COMMENT ON COLUMN teller.reconciliation.difference IS 'what is missing there: above zero, more has left our account there than the books here say';
COMMENT ON COLUMN teller.reconciliation.executed_there IS 'the part of the difference that operations make up which the remote has executed and which had not ended here: withdrawals less deposits';
COMMENT ON COLUMN teller.reconciliation.explained IS 'nothing else is in the difference. False: money was moved there by hand, was never booked here, or see the findings unknown_here and differs';
COMMENT ON COLUMN teller.reconciliation.agrees IS 'memos with this verdict among those that were looked at; so the next three';
