-- Requests of the application, answered once.

CREATE FUNCTION teller.begin_request(
	scope text, key text, request jsonb, lease interval DEFAULT NULL,
	request_time timestamptz DEFAULT NULL,
	OUT fresh boolean, OUT response jsonb, OUT state text, OUT token bigint)
	RETURNS record
	AS 'MODULE_PATHNAME', 'teller_begin_request' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.begin_request(text, text, jsonb, interval, timestamptz) IS
$$Begin a request of the application, or get the answer that it had: of any number of sessions one gets fresh and does the work. Call as SELECT * FROM teller.begin_request(...).
Arguments: scope and key (each 1 to 255 bytes, no control characters) name the request; request: any JSON of at most 1 MB, the same in every repeat; lease: NULL if the work is finished in this transaction, else the time, above zero and at most a year, after which others may begin it again; request_time: when the request was made, the same in every repeat.
Result: fresh, state started and a token for whoever is to do the work; state finished and the response if it was done; state in_progress while another session holds a lease, or while this transaction has not finished it.
A session that meets a transaction which is just writing the request waits for its end. Without a lease, COMMIT and PREPARE TRANSACTION are refused (55000) until teller.finish_request. With one, the commit is flushed even where synchronous_commit is off.
A request without request_time is kept for ever. One with it may be pruned after teller.key_retention (0: never); it then is TL012, and never runs again.
Errors: TL003 (same key, another request or request_time; names the first field that differs), TL012, 22004, 22023, 54000 (over 1 MB), 42501 (begun by a role whose member the caller is not), 25006, 40001.
Locks: the request's row, if fresh. At REPEATABLE READ and above a request that was begun or changed after the snapshot is 40001.$$;

CREATE FUNCTION teller.finish_request(
	scope text, key text, response jsonb, token bigint DEFAULT NULL)
	RETURNS void
	AS 'MODULE_PATHNAME', 'teller_finish_request' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.finish_request(text, text, jsonb, bigint) IS
$$Store the response to a request, which every later begin_request returns.
Arguments: scope and key as given to teller.begin_request; response: any JSON of at most 1 MB, JSON null included; token: what begin_request returned, required if the request has a lease.
Finishing it again with the same response does nothing. A holder whose lease has run out may still finish, unless somebody has begun the request again.
Errors: TL009 not begun, 55000 overtaken (DETAIL: both tokens) or finished with another response, 22004, 22023, 54000 (over 1 MB), 42501 (begun by a role whose member the caller is not), 25006, 40001.
Locks: the request's row.$$;

CREATE FUNCTION teller.prune_requests(max_rows integer DEFAULT 1000) RETURNS integer
	AS 'MODULE_PATHNAME', 'teller_prune_requests' LANGUAGE C VOLATILE PARALLEL UNSAFE;
COMMENT ON FUNCTION teller.prune_requests(integer) IS
$$Forget up to max_rows (1 to 1000000) requests whose request_time is teller.key_retention or more ago and which are finished, or whose lease ran out as long ago; the worker does the same by itself, once a minute. Returns how many. Requests without request_time are kept for ever, and all are while teller.key_retention is 0.
What was pruned cannot be begun again (TL012). Anyone may call it.
Errors: 22004, 22023, 25006, 40001. Locks: the rows it deletes, leaving out those that are locked; then the horizons of their scopes in order.$$;
