\echo Use "CREATE EXTENSION tip_jar CASCADE" to load this file. \quit

-- What we know about a tip besides the money; the money is in the ledger.
CREATE TABLE @extschema@.tip (
	slip	text PRIMARY KEY,
	guest	text NOT NULL,
	waiter	text NOT NULL,
	thanks	text
);

-- The row and the money in one transaction: both happen or neither.  The slip
-- is the key, so a tip that is handed in twice is paid once.
CREATE FUNCTION @extschema@.tip(slip text, guest text, waiter text,
								amount numeric, thanks text DEFAULT NULL)
RETURNS TABLE (status text, waiter_has numeric, replayed boolean)
LANGUAGE sql
AS $$
	INSERT INTO @extschema@.tip (slip, guest, waiter, thanks)
		VALUES ($1, $2, $3, $5) ON CONFLICT (slip) DO NOTHING;
	SELECT t.status, t.credit_balance, t.replayed
		FROM teller.transfer(7, teller.account_id(7, $2),
							 teller.account_id(7, $3), $4, key => $1) t;
$$;
