-- The whole data model of pg_teller.
--
-- ledger_id leads every key and index, so that a ledger can be moved to a
-- shard of its own.  No sequence, no trigger, no foreign key: what belongs
-- together is kept together by the C code and proven by teller.verify().
-- Amounts are numeric in units of the asset and carry exactly its scale.
-- The bound 10^38 keeps out NaN and the infinities too.

CREATE SCHEMA teller;
COMMENT ON SCHEMA teller IS 'pg_teller: ledgers, holds and external operations';

CREATE SCHEMA teller_remote;
COMMENT ON SCHEMA teller_remote IS 'pg_teller as the remote ledger of another database';

-- Books -----------------------------------------------------------------

CREATE TABLE teller.ledger (
	ledger_id	bigint PRIMARY KEY,
	name		text COLLATE "C"
		CHECK (octet_length(name) BETWEEN 1 AND 255)
);
COMMENT ON TABLE teller.ledger IS 'a book of accounts that balances by itself';

CREATE TABLE teller.asset (
	asset	text COLLATE "C" PRIMARY KEY
		CHECK (octet_length(asset) BETWEEN 1 AND 255),
	scale	smallint NOT NULL CHECK (scale BETWEEN 0 AND 30)
);
COMMENT ON TABLE teller.asset IS 'a unit of account and its number of decimals';

CREATE TABLE teller.ledger_grant (
	ledger_id	bigint NOT NULL,
	grantee		regrole NOT NULL,
	level		text NOT NULL CHECK (level IN ('read', 'post', 'operate')),
	PRIMARY KEY (ledger_id, grantee)
);
COMMENT ON TABLE teller.ledger_grant IS 'what a role may do on a ledger';

-- Nothing indexed here changes when money moves, and half of each page is
-- left free, so that updates stay on the page (HOT).
CREATE TABLE teller.account (
	ledger_id		bigint NOT NULL,
	account_id		bigint NOT NULL,
	asset			text COLLATE "C" NOT NULL,
	name			text COLLATE "C"
		CHECK (octet_length(name) BETWEEN 1 AND 255),
	posted			numeric NOT NULL CHECK (abs(posted) < 1e38),
	-- Of a hot account the end of a hold may be folded before its beginning.
	pending_debit	numeric NOT NULL CONSTRAINT account_pending_debit_check
		CHECK ((hot OR pending_debit >= 0) AND abs(pending_debit) < 1e38),
	pending_credit	numeric NOT NULL CONSTRAINT account_pending_credit_check
		CHECK ((hot OR pending_credit >= 0) AND abs(pending_credit) < 1e38),
	version			bigint NOT NULL CHECK (version >= 0),
	min_balance		numeric CHECK (abs(min_balance) < 1e38),
	max_balance		numeric CHECK (abs(max_balance) < 1e38),
	reentrancy		text COLLATE "C" NOT NULL
		CHECK (reentrancy IN ('off', 'reject', 'allow', 'queue')),
	hot				boolean NOT NULL,
	status			text COLLATE "C" NOT NULL
		CHECK (status IN ('open', 'frozen_debit', 'frozen_credit', 'frozen', 'closed')),
	last_at			timestamptz NOT NULL CHECK (isfinite(last_at)),
	metadata		jsonb,
	folded_epoch	bigint CHECK (folded_epoch > 0),
	open_epochs		bigint[],
	PRIMARY KEY (ledger_id, account_id),
	CHECK (min_balance <= max_balance)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE UNIQUE INDEX account_name ON teller.account (ledger_id, name)
	WHERE name IS NOT NULL;
CREATE INDEX account_hot ON teller.account (ledger_id, account_id) WHERE hot;
COMMENT ON TABLE teller.account IS 'the present balances, version and limits of each account';
COMMENT ON COLUMN teller.account.posted IS 'settled balance: credits add, debits subtract';
COMMENT ON COLUMN teller.account.pending_debit IS 'sum of the open holds on this account''s money';
COMMENT ON COLUMN teller.account.pending_credit IS 'sum of the open holds in favour of this account; kept only where max_balance is set, else 0';
COMMENT ON COLUMN teller.account.version IS 'number of journal rows that touched this account';
COMMENT ON COLUMN teller.account.folded_epoch IS 'of an account that is or was hot: rows of the journal of later epochs are not in its balances yet';
COMMENT ON COLUMN teller.account.open_epochs IS 'of the epochs up to folded_epoch those that are not in its balances either';
COMMENT ON COLUMN teller.account.last_at IS 'the latest clock reading used on this account';

-- An account without a row here has the limits that it was opened with.
CREATE TABLE teller.limit_change_data (
	ledger_id		bigint NOT NULL,
	account_id		bigint NOT NULL,
	id				uuid NOT NULL,
	version			bigint NOT NULL CHECK (version >= 0),
	old_min_balance	numeric CHECK (abs(old_min_balance) < 1e38),
	old_max_balance	numeric CHECK (abs(old_max_balance) < 1e38),
	old_status		text COLLATE "C" NOT NULL
		CHECK (old_status IN ('open', 'frozen_debit', 'frozen_credit', 'frozen', 'closed')),
	min_balance		numeric CHECK (abs(min_balance) < 1e38),
	max_balance		numeric CHECK (abs(max_balance) < 1e38),
	status			text COLLATE "C" NOT NULL
		CHECK (status IN ('open', 'frozen_debit', 'frozen_credit', 'frozen', 'closed')),
	forced			boolean NOT NULL,
	pending_credit	numeric NOT NULL CHECK (pending_credit >= 0 AND pending_credit < 1e38),
	changed_by		name COLLATE "C" NOT NULL,
	changed_at		timestamptz NOT NULL CHECK (isfinite(changed_at)),
	PRIMARY KEY (ledger_id, account_id, id),
	CHECK (min_balance <= max_balance)
);
COMMENT ON TABLE teller.limit_change_data IS 'append-only: one row for every change of an account''s limits or status';
COMMENT ON COLUMN teller.limit_change_data.pending_credit IS 'what the account row keeps of pending credits after the change: the sum of the open holds in its favour, or 0 without a maximum';

CREATE TABLE teller.journal (
	ledger_id		bigint NOT NULL,
	id				uuid NOT NULL,
	kind			text COLLATE "C" NOT NULL
		CHECK (kind IN ('transfer', 'hold', 'extend', 'adjust', 'capture',
						'release', 'expire', 'reversal')),
	debit_account	bigint NOT NULL,
	credit_account	bigint NOT NULL,
	amount			numeric NOT NULL CHECK (amount > 0 AND amount < 1e38),
	debit_version	bigint,
	debit_posted	numeric,
	debit_pending	numeric,
	credit_version	bigint,
	credit_posted	numeric,
	credit_pending	numeric,
	hold_id			uuid,
	reverses		uuid,
	batch_id		uuid,
	operation_id	uuid,
	effective_at	timestamptz NOT NULL CHECK (isfinite(effective_at)),
	recorded_at		timestamptz NOT NULL CHECK (isfinite(recorded_at)),
	metadata		jsonb,
	ends_hold		boolean NOT NULL,
	tx				bigint NOT NULL,
	debit_epoch		bigint,
	credit_epoch	bigint,
	PRIMARY KEY (ledger_id, id),
	CHECK (debit_account <> credit_account)
);
CREATE INDEX journal_debit ON teller.journal (ledger_id, debit_account, debit_version);
CREATE INDEX journal_credit ON teller.journal (ledger_id, credit_account, credit_version);
CREATE INDEX journal_reverses ON teller.journal (ledger_id, reverses)
	WHERE reverses IS NOT NULL;
-- The rows that were not effective when they were recorded: few, as a rule.
CREATE INDEX journal_debit_dated ON teller.journal (ledger_id, debit_account)
	WHERE effective_at <> recorded_at;
CREATE INDEX journal_credit_dated ON teller.journal (ledger_id, credit_account)
	WHERE effective_at <> recorded_at;
-- Of hot accounts: what is to be folded into their rows, and their history.
CREATE INDEX journal_hot_debit ON teller.journal (ledger_id, debit_account, debit_epoch, id)
	WHERE debit_version IS NULL AND debit_epoch IS NOT NULL;
CREATE INDEX journal_hot_credit ON teller.journal (ledger_id, credit_account, credit_epoch, id)
	WHERE credit_version IS NULL AND credit_epoch IS NOT NULL;
-- One terminal record per hold, by constraint.
CREATE UNIQUE INDEX journal_hold_end ON teller.journal (ledger_id, hold_id)
	WHERE ends_hold;
-- The feed: in the order of transactions.
CREATE INDEX journal_feed ON teller.journal (ledger_id, tx, id);
COMMENT ON TABLE teller.journal IS 'append-only: one row for every movement and hold event, with both sides'' versions and balances after it';
COMMENT ON COLUMN teller.journal.debit_version IS 'the debit account''s version after this row; NULL where the row did not touch it, or the account was hot';
COMMENT ON COLUMN teller.journal.credit_version IS 'the credit account''s version after this row; NULL where the row did not touch it, or the account was hot';
COMMENT ON COLUMN teller.journal.debit_epoch IS 'of a debit account that was hot: the epoch by which the row is folded into the account''s; of one that had been hot before: its folded_epoch then';
COMMENT ON COLUMN teller.journal.credit_epoch IS 'the same of the credit account';
COMMENT ON COLUMN teller.journal.ends_hold IS 'true on the one row after which nothing of its hold remains';

COMMENT ON COLUMN teller.journal.tx IS 'the transaction that wrote this row: number of teller.feed_epoch * 2^48 + its 64-bit id; the feed goes by it';

-- Transaction ids mean something on one timeline of one server only.  The
-- first transactions that write on another one each make a row, of one and the
-- same number, and what they write sorts behind what was written before.
CREATE TABLE teller.feed_epoch (
	number				bigint NOT NULL CHECK (number BETWEEN 1 AND 32766),
	tx					bigint NOT NULL,
	system_identifier	bigint NOT NULL,
	timeline			integer NOT NULL,
	made_at				timestamptz NOT NULL,
	PRIMARY KEY (number, tx)
);
COMMENT ON TABLE teller.feed_epoch IS 'the servers and timelines on which the journal was written, in their order';
COMMENT ON COLUMN teller.feed_epoch.tx IS 'the transaction that made this row, as in teller.journal.tx';

CREATE TABLE teller.period (
	ledger_id		bigint PRIMARY KEY,
	closed_until	timestamptz NOT NULL CHECK (isfinite(closed_until)),
	closed_at		timestamptz NOT NULL
);
COMMENT ON TABLE teller.period IS 'until when a ledger''s periods are closed: nothing becomes effective before that any more';

-- A chain of hashes over the journal, in the order of the feed: seal_digest.c.
CREATE TABLE teller.seal (
	ledger_id	bigint NOT NULL,
	number		bigint NOT NULL CHECK (number > 0),
	rows		integer NOT NULL CHECK (rows BETWEEN 1 AND 10000),
	total		bigint NOT NULL,
	first_tx	bigint NOT NULL,
	first_id	uuid NOT NULL,
	last_tx		bigint NOT NULL,
	last_id		uuid NOT NULL,
	below		bigint NOT NULL,
	sealed_at	timestamptz NOT NULL CHECK (isfinite(sealed_at)),
	previous	bytea NOT NULL CHECK (octet_length(previous) = 32),
	head		bytea NOT NULL CHECK (octet_length(head) = 32),
	ids			bytea NOT NULL CHECK (octet_length(ids) = 16 * rows),
	digests		bytea NOT NULL CHECK (octet_length(digests) = 32 * rows),
	PRIMARY KEY (ledger_id, number)
);
-- Hashes do not compress.
ALTER TABLE teller.seal ALTER COLUMN ids SET STORAGE EXTERNAL, ALTER COLUMN digests SET STORAGE EXTERNAL;
COMMENT ON TABLE teller.seal IS 'seals: each holds the hashes of up to 10000 journal rows, and is the beginning of the next';
COMMENT ON COLUMN teller.seal.total IS 'rows in this seal and all before it';
COMMENT ON COLUMN teller.seal.below IS 'every journal row of the ledger with a lower tx is sealed';
COMMENT ON COLUMN teller.seal.previous IS 'the head of the seal before it; of the first: SHA-256 of a label and the ledger';
COMMENT ON COLUMN teller.seal.head IS 'SHA-256 of the last digest and of what the seal says of itself';
COMMENT ON COLUMN teller.seal.ids IS 'the ids of its rows, 16 bytes each';
COMMENT ON COLUMN teller.seal.digests IS 'after each of its rows: SHA-256 of the digest before it and the row, 32 bytes each';

CREATE TABLE teller.verified (
	ledger_id		bigint PRIMARY KEY,
	verified_at		timestamptz NOT NULL CHECK (isfinite(verified_at)),
	full_at			timestamptz NOT NULL CHECK (isfinite(full_at)),
	balances		numeric NOT NULL,
	folds			jsonb
);
COMMENT ON TABLE teller.verified IS 'until when a ledger was found sound: teller.verify(ledger, ''quick'') begins there';
COMMENT ON COLUMN teller.verified.full_at IS 'the last mark for which every row was read';
COMMENT ON COLUMN teller.verified.folds IS 'what was in the rows of accounts that are or were hot: teller.verify_noted()';
COMMENT ON COLUMN teller.verified.balances IS 'digest of what the accounts were at verified_at: teller.verify_digest()';

CREATE TABLE teller.hold (
	ledger_id		bigint NOT NULL,
	hold_id			uuid NOT NULL,
	debit_account	bigint NOT NULL,
	credit_account	bigint NOT NULL,
	amount			numeric NOT NULL CHECK (amount > 0 AND amount < 1e38),
	captured		numeric NOT NULL CHECK (captured >= 0),
	released		numeric NOT NULL CHECK (released >= 0),
	expires_at		timestamptz CHECK (isfinite(expires_at)),
	state			text COLLATE "C" NOT NULL
		CHECK (state IN ('open', 'captured', 'released', 'expired')),
	operation_id	uuid,
	created_at		timestamptz NOT NULL,
	ended_at		timestamptz,
	metadata		jsonb,
	PRIMARY KEY (ledger_id, hold_id),
	CHECK (debit_account <> credit_account),
	CHECK (captured + released <= amount),
	CHECK ((state = 'open') = (captured + released < amount)),
	CHECK ((state = 'open') = (ended_at IS NULL)),
	CHECK (operation_id IS NULL OR expires_at IS NULL)
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);
-- The open holds of an account, those that are due first.
CREATE INDEX hold_debit ON teller.hold (ledger_id, debit_account, expires_at)
	WHERE state = 'open';
CREATE INDEX hold_credit ON teller.hold (ledger_id, credit_account, expires_at)
	WHERE state = 'open';
CREATE INDEX hold_due ON teller.hold (ledger_id, expires_at)
	WHERE state = 'open' AND expires_at IS NOT NULL;
COMMENT ON TABLE teller.hold IS 'money set aside on one account in favour of another: open, then captured, released or expired';
COMMENT ON COLUMN teller.hold.expires_at IS 'deadline; NULL for the hold of an operation, which only the operation ends';

CREATE TABLE teller.key (
	ledger_id	bigint NOT NULL,
	key			text COLLATE "C" NOT NULL
		CHECK (octet_length(key) BETWEEN 1 AND 255),
	function	text COLLATE "C" NOT NULL,
	arguments	jsonb NOT NULL,
	fingerprint	bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
	id			uuid,
	status		text COLLATE "C" NOT NULL,
	reason		text COLLATE "C",
	result		jsonb NOT NULL,
	created_at	timestamptz NOT NULL,
	request_time	timestamptz CHECK (isfinite(request_time)),
	PRIMARY KEY (ledger_id, key)
);
-- Those that may be pruned one day.
CREATE INDEX key_request_time ON teller.key (ledger_id, request_time)
	WHERE request_time IS NOT NULL;
-- Costs a call nearly nothing, and leads verify() at level quick to the keys
-- since its mark.
CREATE INDEX key_created ON teller.key USING brin (ledger_id, created_at);
COMMENT ON TABLE teller.key IS 'idempotency: what was asked under a key, and the answer it got';
COMMENT ON COLUMN teller.key.fingerprint IS 'SHA-256 of the function''s name, a blank, and the text of the arguments';

CREATE TABLE teller.key_horizon (
	ledger_id		bigint PRIMARY KEY,
	pruned_until	timestamptz NOT NULL CHECK (isfinite(pruned_until))
);
COMMENT ON TABLE teller.key_horizon IS 'the latest request_time of a key that was pruned: nothing made until then runs again';

-- Operations ------------------------------------------------------------

CREATE TABLE teller.instance (
	singleton			boolean PRIMARY KEY CHECK (singleton),
	instance_id			uuid NOT NULL,
	system_identifier	bigint NOT NULL,
	database_oid		oid NOT NULL,
	timeline			integer NOT NULL,
	backup_start		text COLLATE "C" NOT NULL,
	adopted_at			timestamptz NOT NULL
);
COMMENT ON TABLE teller.instance IS 'which server and database this one takes itself for; made at first use';
COMMENT ON COLUMN teller.instance.backup_start IS 'where the base backup began that the server''s files come from; empty if from none';

CREATE TABLE teller.settlement (
	ledger_id	bigint NOT NULL,
	server		name NOT NULL,
	account_id	bigint NOT NULL,
	PRIMARY KEY (ledger_id, server)
);
COMMENT ON TABLE teller.settlement IS 'the account that mirrors the money at a server';

CREATE TABLE teller.operation_data (
	ledger_id			bigint NOT NULL,
	id					uuid NOT NULL,
	account_id			bigint NOT NULL,
	settlement_account	bigint NOT NULL,
	direction			text COLLATE "C" NOT NULL
		CHECK (direction IN ('withdraw', 'deposit')),
	server				name NOT NULL,
	nonce				text COLLATE "C" NOT NULL
		CHECK (octet_length(nonce) BETWEEN 1 AND 255),
	memo				bytea NOT NULL CHECK (octet_length(memo) = 32),
	amount				numeric NOT NULL CHECK (amount > 0 AND amount < 1e38),
	asset				text COLLATE "C" NOT NULL,
	counterparty		text NOT NULL,
	payload				jsonb,
	request				json NOT NULL,
	arguments			jsonb NOT NULL,
	fingerprint			bytea NOT NULL CHECK (octet_length(fingerprint) = 32),
	submitter			regrole NOT NULL,
	reentrancy			text COLLATE "C" NOT NULL
		CHECK (reentrancy IN ('reject', 'allow', 'queue')),
	ticket				bigint NOT NULL,
	hold_id				uuid NOT NULL,
	state				text COLLATE "C" NOT NULL
		CHECK (state IN ('stashed', 'held', 'in_flight', 'retry_wait', 'in_doubt',
						 'fencing', 'conflict', 'quarantined', 'settled', 'refunded')),
	reason				text COLLATE "C"
		CHECK (reason IN ('rejected', 'cancelled', 'expired')),
	dirty				boolean NOT NULL,
	attempts			integer NOT NULL CHECK (attempts >= 0),
	sends				integer NOT NULL CHECK (sends >= 0),
	rechecks			integer NOT NULL CHECK (rechecks >= 0),
	last_attempt		integer NOT NULL CHECK (last_attempt >= 0),
	cancel_requested	boolean NOT NULL,
	found_nothing		boolean NOT NULL,
	attempt_timeout		interval,
	next_try_at			timestamptz,
	first_sent_at		timestamptz,
	not_after			timestamptz NOT NULL,
	expires_at			timestamptz NOT NULL,
	created_at			timestamptz NOT NULL,
	ended_at			timestamptz,
	reference			text,
	response			jsonb,
	last_error			text,
	on_complete			text COLLATE "C",
	on_doubt			text COLLATE "C",
	PRIMARY KEY (ledger_id, id),
	CONSTRAINT operation_nonce UNIQUE (ledger_id, account_id, nonce),
	CHECK ((state IN ('settled', 'refunded')) = (ended_at IS NOT NULL)),
	CHECK ((state = 'refunded') = (reason IS NOT NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE UNIQUE INDEX operation_memo ON teller.operation_data (ledger_id, memo);
CREATE INDEX operation_due ON teller.operation_data (ledger_id, server, next_try_at)
	WHERE state IN ('held', 'retry_wait', 'in_doubt');
-- Those that are out: few.  next_try_at is when the claim of one counts as lost.
CREATE INDEX operation_out ON teller.operation_data (ledger_id, server, next_try_at)
	WHERE state IN ('in_flight', 'fencing');
CREATE UNIQUE INDEX operation_open ON teller.operation_data (ledger_id, account_id, ticket)
	WHERE state NOT IN ('settled', 'refunded');
CREATE INDEX operation_stashed ON teller.operation_data (ledger_id, account_id, ticket)
	WHERE state = 'stashed';
CREATE INDEX operation_deadline ON teller.operation_data (ledger_id, not_after)
	WHERE state IN ('stashed', 'held', 'retry_wait');
COMMENT ON TABLE teller.operation_data IS 'withdrawals to and deposits from external ledgers';
COMMENT ON COLUMN teller.operation_data.reentrancy IS 'the mode that counted when it was submitted: the call''s, else the account''s';
COMMENT ON COLUMN teller.operation_data.ticket IS 'drawn under the account''s lock: above those of all operations of the account that were open then';
COMMENT ON COLUMN teller.operation_data.request IS 'the exact request, byte for byte the same on every retry';
COMMENT ON COLUMN teller.operation_data.dirty IS 'an attempt may have reached the remote and nothing proves that it did not run';
COMMENT ON COLUMN teller.operation_data.sends IS 'executes that may have left this machine';
COMMENT ON COLUMN teller.operation_data.rechecks IS 'lookups and fences sent in doubt';
COMMENT ON COLUMN teller.operation_data.last_attempt IS 'number of the newest attempt row: executes, lookups and fences';
COMMENT ON COLUMN teller.operation_data.found_nothing IS 'a lookup in doubt found nothing at the remote';
COMMENT ON COLUMN teller.operation_data.attempts IS 'executes that count towards teller.max_attempts';
COMMENT ON COLUMN teller.operation_data.on_complete IS 'schema-qualified signature of the function that runs when it has ended; looked up each time';
COMMENT ON COLUMN teller.operation_data.on_doubt IS 'the same for when it enters in_doubt or conflict';

CREATE TABLE teller.attempt_data (
	ledger_id		bigint NOT NULL,
	operation_id	uuid NOT NULL,
	attempt			integer NOT NULL CHECK (attempt > 0),
	verb			text COLLATE "C" NOT NULL
		CHECK (verb IN ('execute', 'lookup', 'fence')),
	memo			bytea NOT NULL,
	worker			uuid NOT NULL,
	started_at		timestamptz NOT NULL,
	ended_at		timestamptz,
	outcome			text COLLATE "C",
	detail			text,
	PRIMARY KEY (ledger_id, operation_id, attempt),
	CHECK ((ended_at IS NULL) = (outcome IS NULL))
) WITH (fillfactor = 80);
-- Leads teller.server_health to the calls of the last hour; updates stay HOT.
CREATE INDEX attempt_started ON teller.attempt_data USING brin (started_at);
COMMENT ON TABLE teller.attempt_data IS 'every request to a remote, committed and flushed before its first byte leaves';
COMMENT ON COLUMN teller.attempt_data.worker IS 'the run of the worker that sent it, or the call of teller.claim that gave it out';

CREATE TABLE teller.finding_data (
	ledger_id		bigint NOT NULL,
	id				uuid NOT NULL,
	operation_id	uuid,
	kind			text COLLATE "C" NOT NULL,
	detail			text NOT NULL,
	role			regrole,
	found_at		timestamptz NOT NULL,
	PRIMARY KEY (ledger_id, id)
);
COMMENT ON TABLE teller.finding_data IS 'what a person should look at, and what a person decided';

CREATE TABLE teller.reconciliation_data (
	ledger_id			bigint NOT NULL,
	server				name NOT NULL,
	settlement_account	bigint NOT NULL,
	reconciled_at		timestamptz NOT NULL,
	since				timestamptz,
	posted				numeric NOT NULL,
	remote_posted		numeric,
	in_doubt			numeric NOT NULL,
	executed_there		numeric NOT NULL,
	late_in				numeric NOT NULL CHECK (late_in <= 0),
	late_out			numeric NOT NULL CHECK (late_out >= 0),
	agrees				bigint NOT NULL,
	open				bigint NOT NULL,
	unknown_here		bigint NOT NULL,
	differs				bigint NOT NULL,
	PRIMARY KEY (ledger_id, server)
);
COMMENT ON TABLE teller.reconciliation_data IS 'what the last teller.reconcile() saw of a server; see the view teller.reconciliation';
COMMENT ON COLUMN teller.reconciliation_data.late_in IS 'the part of executed_there that came in so late that the balance there may not have it; below zero';
COMMENT ON COLUMN teller.reconciliation_data.late_out IS 'the same of what went out';

CREATE TABLE teller.continuation_data (
	ledger_id		bigint NOT NULL,
	operation_id	uuid NOT NULL,
	event			integer NOT NULL CHECK (event > 0),
	kind			text COLLATE "C" NOT NULL
		CHECK (kind IN ('on_complete', 'on_doubt')),
	state			text COLLATE "C" NOT NULL
		CHECK (state IN ('waiting', 'done', 'parked')),
	attempts		integer NOT NULL CHECK (attempts >= 0),
	lost			integer NOT NULL CHECK (lost >= 0),
	running_since	timestamptz,
	next_try_at		timestamptz CHECK (isfinite(next_try_at)),
	last_error		text,
	created_at		timestamptz NOT NULL,
	ended_at		timestamptz,
	PRIMARY KEY (ledger_id, operation_id, event),
	CHECK ((state = 'waiting') = (next_try_at IS NOT NULL)),
	CHECK ((state = 'waiting') = (ended_at IS NULL)),
	CHECK (state = 'waiting' OR running_since IS NULL)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01);
CREATE INDEX continuation_due ON teller.continuation_data (ledger_id, next_try_at)
	WHERE state = 'waiting';
COMMENT ON TABLE teller.continuation_data IS 'what is to be run, or was, because an operation ended or came into doubt; written in the transaction in which it did';
COMMENT ON COLUMN teller.continuation_data.event IS '1, 2, ...: the events of this operation';
COMMENT ON COLUMN teller.continuation_data.attempts IS 'runs begun';
COMMENT ON COLUMN teller.continuation_data.lost IS 'of them, those that never came back because the process ended';

-- The remote side -------------------------------------------------------

CREATE TABLE teller.memo (
	memo			bytea PRIMARY KEY CHECK (octet_length(memo) = 32),
	origin			uuid NOT NULL,
	caller			regrole NOT NULL,
	ledger_id		bigint,
	request			jsonb,
	status			text COLLATE "C" NOT NULL
		CHECK (status IN ('executed', 'rejected', 'cancelled', 'expired')),
	reference		text,
	reason			text,
	amount			numeric,
	asset			text,
	executed_at		timestamptz NOT NULL,
	CHECK ((status = 'cancelled') = (request IS NULL))
);
CREATE INDEX memo_origin ON teller.memo (origin, executed_at, memo);
COMMENT ON TABLE teller.memo IS 'the remote''s answers, one for each memo, for ever';

CREATE TABLE teller.remote_grant (
	ledger_id	bigint NOT NULL,
	grantee		regrole NOT NULL,
	account_id	bigint NOT NULL,
	PRIMARY KEY (ledger_id, grantee)
);
COMMENT ON TABLE teller.remote_grant IS 'the account of a calling role on a ledger here';

CREATE TABLE teller.remote_mandate (
	ledger_id	bigint NOT NULL,
	grantee		regrole NOT NULL,
	account_id	bigint NOT NULL,
	PRIMARY KEY (ledger_id, grantee, account_id)
);
COMMENT ON TABLE teller.remote_mandate IS 'the accounts that a calling role may debit by deposits';

-- Requests --------------------------------------------------------------

-- Requests of the application belong to no ledger: the scope takes its place.
CREATE TABLE teller.request (
	scope			text COLLATE "C" NOT NULL
		CHECK (octet_length(scope) BETWEEN 1 AND 255),
	key				text COLLATE "C" NOT NULL
		CHECK (octet_length(key) BETWEEN 1 AND 255),
	role			regrole NOT NULL,
	request			jsonb NOT NULL,
	response		jsonb,
	token			bigint NOT NULL CHECK (token >= 1),
	lease_until		timestamptz CHECK (isfinite(lease_until)),
	request_time	timestamptz CHECK (isfinite(request_time)),
	created_at		timestamptz NOT NULL,
	finished_at		timestamptz,
	PRIMARY KEY (scope, key),
	CHECK ((finished_at IS NULL) = (response IS NULL))
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX request_made ON teller.request (request_time)
	WHERE request_time IS NOT NULL;
COMMENT ON TABLE teller.request IS 'requests of the application, each answered once; rows without request_time are kept for ever';
COMMENT ON COLUMN teller.request.role IS 'who began it, and whose members may repeat and finish it';
COMMENT ON COLUMN teller.request.token IS 'its present holder: one more each time it is begun again after a lease ran out';
COMMENT ON COLUMN teller.request.lease_until IS 'others may begin it again after this; NULL if it was begun and finished in one transaction';
COMMENT ON COLUMN teller.request.request_time IS 'when it was made, as its maker says; the row is pruned only where this is given';

CREATE TABLE teller.request_horizon (
	scope			text COLLATE "C" PRIMARY KEY
		CHECK (octet_length(scope) BETWEEN 1 AND 255),
	pruned_until	timestamptz NOT NULL CHECK (isfinite(pruned_until))
);
COMMENT ON TABLE teller.request_horizon IS 'the latest request_time of a request that was pruned; none of that time or before is begun again';

-- Dumps carry the money.
SELECT pg_catalog.pg_extension_config_dump('teller.ledger', '');
SELECT pg_catalog.pg_extension_config_dump('teller.asset', '');
SELECT pg_catalog.pg_extension_config_dump('teller.ledger_grant', '');
SELECT pg_catalog.pg_extension_config_dump('teller.account', '');
SELECT pg_catalog.pg_extension_config_dump('teller.limit_change_data', '');
SELECT pg_catalog.pg_extension_config_dump('teller.journal', '');
SELECT pg_catalog.pg_extension_config_dump('teller.period', '');
SELECT pg_catalog.pg_extension_config_dump('teller.verified', '');
SELECT pg_catalog.pg_extension_config_dump('teller.feed_epoch', '');
SELECT pg_catalog.pg_extension_config_dump('teller.seal', '');
SELECT pg_catalog.pg_extension_config_dump('teller.hold', '');
SELECT pg_catalog.pg_extension_config_dump('teller.key', '');
SELECT pg_catalog.pg_extension_config_dump('teller.key_horizon', '');
SELECT pg_catalog.pg_extension_config_dump('teller.instance', '');
SELECT pg_catalog.pg_extension_config_dump('teller.settlement', '');
SELECT pg_catalog.pg_extension_config_dump('teller.operation_data', '');
SELECT pg_catalog.pg_extension_config_dump('teller.attempt_data', '');
SELECT pg_catalog.pg_extension_config_dump('teller.finding_data', '');
SELECT pg_catalog.pg_extension_config_dump('teller.reconciliation_data', '');
SELECT pg_catalog.pg_extension_config_dump('teller.continuation_data', '');
SELECT pg_catalog.pg_extension_config_dump('teller.memo', '');
SELECT pg_catalog.pg_extension_config_dump('teller.remote_grant', '');
SELECT pg_catalog.pg_extension_config_dump('teller.remote_mandate', '');
SELECT pg_catalog.pg_extension_config_dump('teller.request', '');
SELECT pg_catalog.pg_extension_config_dump('teller.request_horizon', '');
