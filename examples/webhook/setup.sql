-- Webhooks and alerts on balances: what relay.py keeps in the database.
--
--	 psql -d shop -f setup.sql
--
-- Run it once, as a superuser or the owner of pg_teller, in a database that has
-- pg_teller.  The relay connects as webhook_relay; give it a password, and
-- teller.grant_ledger(LEDGER, 'webhook_relay', 'read').
\set ON_ERROR_STOP on

CREATE SCHEMA webhook;

-- Who is told about a ledger, and how far it has been told.
CREATE TABLE webhook.endpoint (
	name		text PRIMARY KEY,
	ledger_id	bigint NOT NULL,
	url			text NOT NULL,
	cursor		text			-- of the last row delivered; NULL: none yet
);

-- A mark that a balance may pass, upwards (above) or downwards (below).
CREATE TABLE webhook.alert (
	id			bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	endpoint	text NOT NULL REFERENCES webhook.endpoint,
	account_id	bigint NOT NULL,
	mark		numeric NOT NULL,
	direction	text NOT NULL CHECK (direction IN ('above', 'below')),
	version		bigint NOT NULL,	-- of the account: looked at so far
	UNIQUE (endpoint, account_id, mark, direction)
);

-- Each passing, once; the account's version says which.
CREATE TABLE webhook.raised (
	alert		bigint NOT NULL REFERENCES webhook.alert,
	version		bigint NOT NULL,
	place		bigint GENERATED ALWAYS AS IDENTITY UNIQUE,	-- in the order of delivery
	posted		numeric NOT NULL,	-- the balance after it
	recorded_at	timestamptz NOT NULL,
	delivered	boolean NOT NULL DEFAULT false,
	PRIMARY KEY (alert, version)
);
CREATE INDEX ON webhook.raised (place) WHERE NOT delivered;

-- Watch an account from now on.
CREATE FUNCTION webhook.watch(endpoint text, account bigint, mark numeric, direction text) RETURNS bigint
LANGUAGE sql AS $$
	INSERT INTO webhook.alert (endpoint, account_id, mark, direction, version)
	SELECT e.name, watch.account, watch.mark, watch.direction, b.version
	FROM webhook.endpoint AS e, LATERAL teller.balance(e.ledger_id, watch.account) AS b
	WHERE e.name = watch.endpoint
	RETURNING id
$$;

-- Raise what has been passed since the last look, and say how often that was.
-- It goes by the versions of the account, which have no gap and are committed
-- in their order, so nothing is passed over and nothing is raised twice.
CREATE FUNCTION webhook.raise_alerts(of_endpoint text) RETURNS bigint
LANGUAGE plpgsql AS $$
DECLARE
	raised bigint;
BEGIN
	PERFORM FROM webhook.endpoint WHERE name = of_endpoint FOR NO KEY UPDATE;
	WITH seen AS (
		SELECT a.id, a.mark, a.direction, a.version AS looked_at, s.version, s.posted, s.recorded_at,
			lag(s.posted, 1, 0.0) OVER (PARTITION BY a.id ORDER BY s.version) AS before
		FROM webhook.endpoint AS e JOIN webhook.alert AS a ON a.endpoint = e.name,
			LATERAL teller.statement(e.ledger_id, a.account_id, greatest(a.version - 1, 0), 10000) AS s
		WHERE e.name = of_endpoint
	), passed AS (
		INSERT INTO webhook.raised (alert, version, posted, recorded_at)
		SELECT id, version, posted, recorded_at FROM seen
		WHERE version > looked_at
			AND CASE direction WHEN 'above' THEN before <= mark AND posted > mark
				ELSE before >= mark AND posted < mark END
		ORDER BY recorded_at, id, version
		RETURNING alert
	), looked AS (
		UPDATE webhook.alert AS a SET version = s.version
		FROM (SELECT id, max(version) AS version FROM seen GROUP BY id) AS s
		WHERE a.id = s.id AND a.version < s.version
	)
	SELECT count(*) INTO raised FROM passed;
	RETURN raised;
END
$$;

-- What is to be delivered next: the id of the delivery, its body, and where it
-- stands.  Amounts are strings, so that no reader makes floats of them.
CREATE FUNCTION webhook.next_movements(of_endpoint text, max_rows integer)
RETURNS TABLE (id text, body text, place text) LANGUAGE sql STABLE AS $$
	SELECT j.id::text, jsonb_build_object('type', 'movement', 'timestamp', j.recorded_at,
			'data', to_jsonb(j) - 'cursor' || jsonb_build_object('amount', j.amount::text,
				'debit_posted', j.debit_posted::text, 'debit_pending', j.debit_pending::text,
				'credit_posted', j.credit_posted::text, 'credit_pending', j.credit_pending::text))::text,
		j.cursor
	FROM webhook.endpoint AS e, LATERAL teller.journal_since(e.ledger_id, e.cursor, max_rows) AS j
	WHERE e.name = of_endpoint
$$;
CREATE FUNCTION webhook.next_alerts(of_endpoint text, max_rows integer)
RETURNS TABLE (id text, body text, place text) LANGUAGE sql STABLE AS $$
	SELECT format('alert-%s-%s', r.alert, r.version), jsonb_build_object('type', 'alert', 'timestamp', r.recorded_at,
			'data', jsonb_build_object('ledger_id', e.ledger_id, 'account_id', a.account_id, 'mark', a.mark::text,
				'direction', a.direction, 'posted', r.posted::text, 'version', r.version))::text,
		r.place::text
	FROM webhook.endpoint AS e JOIN webhook.alert AS a ON a.endpoint = e.name
		JOIN webhook.raised AS r ON r.alert = a.id
	WHERE e.name = of_endpoint AND NOT r.delivered
	ORDER BY r.place LIMIT max_rows
$$;

CREATE ROLE webhook_relay LOGIN;
GRANT USAGE ON SCHEMA teller, webhook TO webhook_relay;
GRANT SELECT, UPDATE ON webhook.endpoint, webhook.alert, webhook.raised TO webhook_relay;
GRANT INSERT ON webhook.raised TO webhook_relay;
