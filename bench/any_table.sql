-- Tables as an application has them, for the functions that work on any table
-- and for the statements that one writes by hand.  Both use the same tables.
SELECT setseed(0.5);

CREATE TABLE wallet (
	id		bigint PRIMARY KEY,
	balance	numeric NOT NULL CHECK (balance >= 0),
	version	bigint NOT NULL DEFAULT 0,
	note	text
) WITH (fillfactor = 70);
INSERT INTO wallet (id, balance, note)
	SELECT i, 1000000, 'none' FROM generate_series(1, :accounts) i;

CREATE TABLE stock (
	sku		text PRIMARY KEY,
	units	integer NOT NULL CHECK (units >= 0)
) WITH (fillfactor = 70);
INSERT INTO stock
	SELECT (1000000000000 + i)::text, 1000000
	FROM generate_series(1, :accounts) i;

-- Arrays of ids, ready-made, so that making them is not measured.
CREATE TABLE basket (
	n	integer PRIMARY KEY,
	ids	bigint[] NOT NULL
);
INSERT INTO basket
	SELECT n, ARRAY(SELECT 1 + floor(random() * :accounts)::bigint
					FROM generate_series(1, 100) WHERE n > 0)
	FROM generate_series(1, 10000) n;

-- Requests answered once, by hand.
CREATE TABLE request (
	scope		text NOT NULL,
	key			text NOT NULL,
	request		jsonb NOT NULL,
	response	jsonb,
	created_at	timestamptz NOT NULL DEFAULT clock_timestamp(),
	finished_at	timestamptz,
	PRIMARY KEY (scope, key)
);

-- Both kinds start with as many answered requests: who plans on an empty table
-- scans it all, even when it is not empty any more.
INSERT INTO request (scope, key, request, response, finished_at)
	SELECT 'orders', 'old ' || i, '{}', '{}', clock_timestamp()
	FROM generate_series(1, :accounts) i;
BEGIN;
SELECT count(*) FROM generate_series(1, :accounts) i,
	LATERAL teller.begin_request('orders', 'old ' || i, '{}');
SELECT count(teller.finish_request('orders', 'old ' || i, '{}'))
	FROM generate_series(1, :accounts) i;
COMMIT;

VACUUM ANALYZE;
CHECKPOINT;
