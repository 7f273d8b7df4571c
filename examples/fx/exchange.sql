-- exchange.sql: currency exchange inside one ledger; see README.md.
--
-- The shop quotes a rate and the customer accepts it.  Accepting is one atomic
-- post() of three movements:
--
--	 sold asset:	customer -> liquidity		what the bought amount costs at mid
--	 sold asset:	customer -> income			the rest: the spread
--	 bought asset:	liquidity -> customer		the bought amount
--
-- Each movement is within one asset, so each asset balances by itself.  What
-- links them is the batch, its key (the quote), and the metadata.  The liquidity
-- accounts are the shop's position in each currency.
--
--	 psql -d DATABASE -v ledger=1 -f exchange.sql
--
-- needs a ledger of that number, and for each asset two accounts by name:
-- 'liquidity USD' and 'fx income USD', 'liquidity EUR' and so on.
\set ON_ERROR_STOP on
\if :{?ledger}
\else
\set ledger 1
\endif

CREATE SCHEMA fx;
COMMENT ON SCHEMA fx IS 'an example: currency exchange on a ledger of pg_teller';

-- Where the book is.
CREATE TABLE fx.book (ledger bigint NOT NULL);
INSERT INTO fx.book VALUES (:ledger);

-- One row for each asset that takes part.
CREATE TABLE fx.currency (
	asset		text PRIMARY KEY,
	decimals	int NOT NULL,
	liquidity	bigint NOT NULL,		-- account: the shop's position
	income		bigint NOT NULL			-- account: what the spread brings in
);

-- Units of `sells` for one unit of `buys`, in the middle of the market.
CREATE TABLE fx.mid (
	sells		text NOT NULL REFERENCES fx.currency,
	buys		text NOT NULL REFERENCES fx.currency,
	rate		numeric NOT NULL CHECK (rate > 0 AND rate < 'Infinity'),
	PRIMARY KEY (sells, buys)
);

CREATE TABLE fx.quote (
	id			text PRIMARY KEY,		-- the key of the exchange
	sells		text NOT NULL,
	buys		text NOT NULL,
	buy_amount	numeric NOT NULL CHECK (buy_amount > 0),
	cost		numeric NOT NULL,		-- at mid, in the sold asset
	spread		numeric NOT NULL CHECK (spread >= 0),
	mid			numeric NOT NULL,
	expires_at	timestamptz NOT NULL
);

-- The asset's accounts are looked up once, by name.
CREATE FUNCTION fx.add_currency(asset text, decimals int) RETURNS void
LANGUAGE sql AS $$
	INSERT INTO fx.currency
		SELECT $1, $2, teller.account_id(ledger, 'liquidity ' || $1),
			teller.account_id(ledger, 'fx income ' || $1)
		FROM fx.book
$$;

-- Quote what buying an amount costs.  margin: 0.01 is one per cent over mid.
-- Cost and price are rounded to the sold asset's decimals here, before the
-- ledger sees them: price up, and the spread is the difference, so that no cent
-- is made or lost.
CREATE FUNCTION fx.ask(quote text, sells text, buys text, buy_amount numeric,
					   margin numeric, valid interval DEFAULT '30 s')
RETURNS fx.quote
LANGUAGE plpgsql AS $$
DECLARE
	mid		numeric;
	places	int;
	cost	numeric;
	price	numeric;
	made	fx.quote;
BEGIN
	SELECT m.rate, c.decimals INTO STRICT mid, places
	FROM fx.mid m JOIN fx.currency c ON c.asset = m.sells
	WHERE m.sells = ask.sells AND m.buys = ask.buys;

	cost := round(buy_amount * mid, places);
	price := ceil(buy_amount * mid * (1 + margin) * 10::numeric ^ places)
		/ 10::numeric ^ places;
	price := greatest(round(price, places), cost);
	IF cost = 0 THEN
		RAISE EXCEPTION 'too little to be exchanged'
			USING ERRCODE = 'invalid_parameter_value';
	END IF;
	INSERT INTO fx.quote
		VALUES (quote, sells, buys, buy_amount, cost, price - cost, mid,
			clock_timestamp() + valid)
		RETURNING * INTO made;
	RETURN made;
END
$$;

-- Accept a quote: all legs or none.  Accepting it again answers the same and
-- moves nothing.  seller and buyer are accounts of the customer, in the asset
-- that he sells and in the one that he buys.
CREATE FUNCTION fx.accept(quote text, seller bigint, buyer bigint)
RETURNS TABLE (leg text, status text, amount numeric, replayed boolean)
LANGUAGE plpgsql AS $$
#variable_conflict use_column
DECLARE
	q			fx.quote;
	book		bigint;
	sold		fx.currency;
	bought		fx.currency;
	note		jsonb;
	legs		text[] := '{cost,spread,bought}';
	debits		bigint[];
	credits		bigint[];
	amounts		numeric[];
BEGIN
	SELECT * INTO STRICT q FROM fx.quote WHERE id = accept.quote;
	SELECT ledger INTO STRICT book FROM fx.book;
	SELECT * INTO STRICT sold FROM fx.currency WHERE asset = q.sells;
	SELECT * INTO STRICT bought FROM fx.currency WHERE asset = q.buys;

	-- A quote that ran out is refused, unless it was accepted in time.
	IF q.expires_at <= clock_timestamp()
		AND NOT EXISTS (SELECT FROM teller.find(book, q.id)) THEN
		RAISE EXCEPTION 'quote % has expired', q.id
			USING ERRCODE = 'object_not_in_prerequisite_state';
	END IF;

	note := jsonb_build_object('fx', jsonb_build_object(
		'quote', q.id, 'sells', q.sells, 'buys', q.buys, 'mid', q.mid,
		'rate', round((q.cost + q.spread) / q.buy_amount, 8)));
	debits := ARRAY[seller, seller, bought.liquidity];
	credits := ARRAY[sold.liquidity, sold.income, buyer];
	amounts := ARRAY[q.cost, q.spread, q.buy_amount];
	IF q.spread = 0 THEN	-- the ledger refuses a movement of nothing
		legs := legs[1:1] || legs[3:3];
		debits := debits[1:1] || debits[3:3];
		credits := credits[1:1] || credits[3:3];
		amounts := amounts[1:1] || amounts[3:3];
	END IF;

	RETURN QUERY
		SELECT legs[p.ordinal], p.status, p.amount, p.replayed
		FROM teller.post(book, debits, credits, amounts, key => q.id,
			metadata => array_fill(note, ARRAY[cardinality(amounts)])) p;
END
$$;

-- The shop's position: what it holds of each asset, and what it earned.
CREATE VIEW fx.position AS
	SELECT c.asset, l.posted AS liquidity, i.posted AS income
	FROM fx.currency c
	CROSS JOIN fx.book b
	CROSS JOIN LATERAL teller.balance(b.ledger, c.liquidity) l
	CROSS JOIN LATERAL teller.balance(b.ledger, c.income) i;
