-- Amounts: exact in the asset's scale, refused where they are not.
\pset format unaligned
\pset tuples_only on
-- What a statement raises, without what differs from run to run.
CREATE FUNCTION pg_temp.says(query text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
	detail text;
	hint text;
BEGIN
	EXECUTE query;
	RETURN 'no error';
EXCEPTION WHEN OTHERS THEN
	GET STACKED DIAGNOSTICS detail = PG_EXCEPTION_DETAIL,
		hint = PG_EXCEPTION_HINT;
	RETURN concat_ws(E'\n', sqlstate || ': ' || sqlerrm,
		'DETAIL: ' || nullif(detail, ''), 'HINT: ' || nullif(hint, ''));
END
$$;
SELECT teller.create_ledger(121);
SELECT teller.create_asset('USD', 2), teller.create_asset('JPY', 0);
SELECT teller.open_account(121, 1, 'USD', 'world', min_balance => NULL),
	teller.open_account(121, 2, 'USD', 'alice');

-- Every amount and balance carries exactly the asset's scale, however it is
-- written, and is the same amount.
SELECT amount, debit_balance, credit_balance
FROM unnest(ARRAY['70', '70.0', '70.00', '70.000000', '7e1', '0.0700e3', '+70',
	'00070.00', ' 70 ']) WITH ORDINALITY AS spelling (written, place),
	LATERAL teller.transfer(121, 1, 2, written::numeric)
ORDER BY place;
SELECT * FROM teller.balance(121, 2);
SELECT DISTINCT scale(amount), scale(debit_posted), scale(credit_posted),
	scale(debit_pending), scale(credit_pending)
FROM teller.journal WHERE ledger_id = 121;

-- Other number types come as the numbers they are.
SELECT amount FROM teller.transfer(121, 1, 2, 5);
SELECT amount FROM teller.transfer(121, 1, 2, 5::bigint);
SELECT amount FROM teller.transfer(121, 1, 2, 5::numeric(20, 10));

-- Zero, minus and what is no number.
SELECT amount || E'\n\t' || pg_temp.says(format(
	'SELECT teller.transfer(121, 1, 2, %L)', amount))
FROM unnest(ARRAY['0', '0.00', '-0', '-1', '-0.01', '1e-16383', '-1e1000',
	'NaN', 'Infinity', '-Infinity']) AS amount;

-- More decimals than the asset are refused with both scales, never rounded.
SELECT amount || E'\n\t' || pg_temp.says(format(
	'SELECT teller.transfer(121, 1, 2, %s)', amount))
FROM unnest(ARRAY['1.005', '0.001', '1e-3', '1e-4', '1e-5', '1e-100',
	'1e-16383', '10.0000000000000001', '12345678.1234567']) AS amount;
SELECT pg_temp.says('SELECT teller.hold(121, 2, 1, 1.005)');
-- An asset without decimals has none.
SELECT teller.open_account(121, 3, 'JPY', 'japan', min_balance => NULL),
	teller.open_account(121, 4, 'JPY', 'yuki');
SELECT pg_temp.says('SELECT teller.transfer(121, 3, 4, 0.5)');
SELECT amount, credit_balance FROM teller.transfer(121, 3, 4, 7.0);

-- Out of range is found at once, and before the scale.
SELECT amount || E'\n\t' || pg_temp.says(format(
	'SELECT teller.transfer(121, 1, 2, %s)', amount))
FROM unnest(ARRAY['1e36', '1e37', '1e38', '1e39', '1e40', '1e1000', '1e131071',
	'1e39 + 0.001', '1e36 + 0.001', '10::numeric ^ 131000']) AS amount;

-- The largest sum can be reached, to the cent.
SELECT amount, debit_balance, credit_balance
FROM teller.transfer(121, 1, 2, 999999999999999999999999999999999999.99 - 655);
SELECT debit_balance, credit_balance FROM teller.transfer(121, 1, 2, 10);
-- A sum that leaves 38 digits is 22003 and never wraps, on either side, also
-- when the denial is to be returned.
SELECT pg_temp.says('SELECT teller.transfer(121, 1, 2, 0.01)');
SELECT pg_temp.says($$SELECT teller.transfer(121, 1, 2, 10, on_denial => 'return')$$);
SELECT pg_temp.says('SELECT teller.hold(121, 1, 2, 10)');
SELECT pg_temp.says('SELECT teller.transfer(121, 1, 2, 999999999999999999999999999999999999.99)');
SELECT posted, available FROM teller.balance(121, 1);
SELECT posted, available FROM teller.balance(121, 2);
-- It goes back to the cent.
SELECT debit_balance, credit_balance
FROM teller.transfer(121, 2, 1, 999999999999999999999999999999999999.99 - 655);
-- The largest hold.
BEGIN;
SELECT status, available
FROM teller.hold(121, 1, 2, 999999999999999999999999999999999999.99 - 655 - 100, '1 hour');
SELECT posted, pending_debit, available FROM teller.balance(121, 1);
SELECT pending_credit FROM teller.balance(121, 2);
SELECT pg_temp.says('SELECT teller.hold(121, 1, 2, 1000)');
SELECT * FROM teller.verify(121);
ROLLBACK;

-- For each scale from 0 to 30: the smallest and the largest amount, and one
-- with all digits, arrive unchanged; half the smallest and ten times the
-- largest do not pass.
DO $$
DECLARE
	unit numeric;
	largest numeric;
	digits numeric;
	got numeric;
	asset_name text;
BEGIN
	FOR decimals IN 0..30 LOOP
		asset_name := 'AMOUNT_' || decimals;
		unit := round(1 / 10::numeric ^ decimals, decimals);
		largest := 99999999999999999999999999999999999999 * unit;
		digits := 12345678901234567890123456789012345678 * unit;
		PERFORM teller.create_asset(asset_name, decimals);
		PERFORM teller.open_account(121, 1000 + decimals, asset_name, NULL, NULL);
		PERFORM teller.open_account(121, 2000 + decimals, asset_name, NULL, NULL);
		FOREACH got IN ARRAY ARRAY[unit, largest, digits] LOOP
			IF (SELECT credit_balance::text FROM teller.transfer(121,
					1000 + decimals, 2000 + decimals, got))
				IS DISTINCT FROM got::text
				OR (SELECT debit_balance FROM teller.transfer(121,
					2000 + decimals, 1000 + decimals, got)) <> 0
			THEN
				RAISE WARNING 'scale %: % did not arrive', decimals, got;
			END IF;
		END LOOP;
		IF pg_temp.says(format('SELECT teller.transfer(121, %s, %s, %s)',
				1000 + decimals, 2000 + decimals, unit / 2)) NOT LIKE '22023%'
			OR pg_temp.says(format('SELECT teller.transfer(121, %s, %s, %s)',
				1000 + decimals, 2000 + decimals, largest + unit)) NOT LIKE '22003%'
			OR pg_temp.says(format('SELECT teller.transfer(121, %s, %s, %s)',
				1000 + decimals, 2000 + decimals, largest * 10)) NOT LIKE '22003%'
		THEN
			RAISE WARNING 'scale %: too much passed', decimals;
		END IF;
	END LOOP;
END
$$;
SELECT count(*), sum(version), sum(posted) FROM teller.account
WHERE ledger_id = 121 AND account_id BETWEEN 1000 AND 2999;

-- Every length of number, at scale 2 and 30, adds up as numeric does.
DO $$
DECLARE
	amount numeric;
	total numeric := 0;
	total_30 numeric := 0;
	got numeric;
BEGIN
	FOR length IN 1..35 LOOP
		amount := substr('90008070010203040506000709999100020300', 1, length)::numeric / 100;
		total := total + amount;
		SELECT credit_balance INTO got
		FROM teller.transfer(121, 1002, 2002, amount);
		IF got <> total OR scale(got) <> 2 THEN
			RAISE WARNING '% gave %, not %', amount, got, total;
		END IF;
		amount := round(substr('90008070010203040506000709999100020300', 1, length)::numeric
			* round(1 / 10::numeric ^ 30, 30), 30);
		total_30 := total_30 + amount;
		SELECT credit_balance INTO got
		FROM teller.transfer(121, 1030, 2030, amount);
		IF got <> total_30 OR scale(got) <> 30 THEN
			RAISE WARNING '% gave %, not %', amount, got, total_30;
		END IF;
	END LOOP;
END
$$;
SELECT account_id, posted, version FROM teller.account
WHERE ledger_id = 121 AND account_id IN (1002, 2002, 1030, 2030)
ORDER BY account_id;

-- No amount of the book has another scale than its asset.
SELECT count(*) FROM teller.posting AS p
JOIN teller.account AS a USING (ledger_id, account_id)
JOIN teller.asset AS s USING (asset)
WHERE p.ledger_id = 121
	AND (scale(p.amount), scale(p.posted), scale(p.pending))
		IS DISTINCT FROM (s.scale::integer, s.scale::integer, s.scale::integer);

SELECT * FROM teller.verify();
-- Holds in favour of an account without a maximum may sum to more than any one
-- amount; its balance shows it, and verify() reads it.
SELECT teller.create_ledger(392), teller.create_asset('USD', 2);
SELECT teller.open_account(392, 1, 'USD', min_balance => NULL), teller.open_account(392, 2, 'USD', min_balance => NULL),
	teller.open_account(392, 3, 'USD', min_balance => NULL);
SELECT h.status FROM generate_series(2, 3) AS a, teller.hold(392, a, 1, 9e35, '1 day') AS h;
SELECT h.status FROM teller.hold(392, 1, 2, 1, '1 day') AS h;
SELECT pending_debit, pending_credit, available FROM teller.balance(392, 1);
SELECT * FROM teller.verify(392);
