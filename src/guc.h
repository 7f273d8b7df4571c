/*-------------------------------------------------------------------------
 *
 * guc.h
 *	  The settings teller.*; docs/settings.md describes them.
 *
 * The last word of a name is the unit: _ms milliseconds, _s seconds, bytes.
 * A variable without one counts.
 *
 * Portions Copyright (c) 2026, the pg_teller authors
 *
 *-------------------------------------------------------------------------
 */
#ifndef TELLER_GUC_H
#define TELLER_GUC_H

/* Dispatch of operations, read by the worker. */
extern bool teller_dispatch;
extern int	teller_max_in_flight;
extern int	teller_max_in_flight_per_server;
extern int	teller_connect_timeout_ms;
extern int	teller_attempt_timeout_ms;
extern int	teller_max_attempts;
extern int	teller_backoff_base_ms;
extern int	teller_backoff_max_ms;
extern int	teller_not_after_margin_s;
extern int	teller_circuit_failures;
extern int	teller_circuit_open_ms;
extern int	teller_shutdown_grace_ms;
extern int	teller_callback_timeout_ms;
extern int	teller_callback_max_attempts;
extern int	teller_max_request_bytes;
extern int	teller_max_response_bytes;

/* Submission, read in the submitter's session. */
extern int	teller_max_pending_operations;
extern int	teller_max_pending_operations_per_account;
extern int	teller_submit_wait_ms;
extern int	teller_operation_expiry_s;

/* The ledger. */
extern int	teller_hold_ttl_s;
extern int	teller_expire_batch;
extern int	teller_key_retention_s; /* 0: for ever */
extern bool teller_allow_drop;
extern int	teller_max_hot_accounts;
extern int	teller_fold_interval_ms;

extern void guc_define(void);

#endif							/* TELLER_GUC_H */
