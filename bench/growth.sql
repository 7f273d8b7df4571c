-- Books of many rows, made at once and valid: what as many calls would have
-- left.  In each round every account pays another one and is paid by another
-- one, so where it stands after each row is known beforehand.  After each ten
-- rows a till (account 0) pays one of ten shops (accounts -1 to -10), whose
-- histories get long.
CREATE SCHEMA growth;

-- Ids of version 7 in the order of places, a microsecond apart.
CREATE FUNCTION growth.id(at timestamptz, place bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE AS $$
	SELECT (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || '7' ||
		lpad(to_hex(place & 4095), 3, '0') || '8' || lpad(to_hex(place), 15, '0'))::uuid
$$;

-- Scatters places over the accounts from 1000 on, each once: 611953 has no
-- divisor in common with a power of ten.
CREATE FUNCTION growth.account(place bigint, accounts bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE AS $$
	SELECT 1000 + (place * 611953) % accounts
$$;

-- accounts: a power of ten, at least 100.  The rows are a millisecond apart, the
-- last one is of now.
CREATE PROCEDURE growth.load(accounts bigint, rows bigint)
LANGUAGE plpgsql AS $$
DECLARE
	began timestamptz;
	tx bigint;
	step CONSTANT interval := '1 millisecond';
	per_round CONSTANT bigint := accounts + accounts / 10;
	debit_index CONSTANT text := pg_get_indexdef('teller.journal_debit'::regclass);
	credit_index CONSTANT text := pg_get_indexdef('teller.journal_credit'::regclass);
BEGIN
	PERFORM teller.open_account(1, -a, 'USD') FROM generate_series(1, 10) a;
	PERFORM teller.open_account(1, 0, 'USD', min_balance => NULL);
	-- the first movement makes the epoch of the feed; it is undone again
	PERFORM teller.transfer(1, 0, -1, 1);
	SELECT j.tx, j.recorded_at INTO tx, began FROM teller.journal j;
	began := began - rows * step - interval '1 second';
	DELETE FROM teller.journal;
	UPDATE teller.account SET version = 0, posted = 0.00, last_at = began;
	INSERT INTO teller.account (ledger_id, account_id, asset, posted, pending_debit, pending_credit,
			version, min_balance, reentrancy, hot, status, last_at)
		SELECT 1, a, 'USD', 0.00, 0.00, 0.00, 0, -1000000.00, 'allow', false, 'open', began
		FROM generate_series(1000, 999 + accounts) a;

	DROP INDEX teller.journal_debit;
	DROP INDEX teller.journal_credit;
	INSERT INTO teller.journal (ledger_id, id, kind, debit_account, credit_account, amount,
			debit_version, debit_posted, debit_pending, credit_version, credit_posted, credit_pending,
			effective_at, recorded_at, ends_hold, tx)
		SELECT 1, growth.id(s.at, s.n), 'transfer', s.debit, s.credit, 1.00,
			s.debit_version, s.debit_posted, 0.00,
			s.credit_version, s.credit_posted, 0.00,
			s.at, s.at, false, tx
		FROM (
			SELECT n, began + n * step AS at,
				CASE WHEN shop THEN 0 ELSE growth.account(p, accounts) END AS debit,
				CASE WHEN shop THEN -1 - t % 10 ELSE growth.account(q, accounts) END AS credit,
				-- in a round an account pays at place p, and is paid at (p - shift) mod accounts
				CASE WHEN shop THEN t + 1
					ELSE 2 * r + CASE WHEN p < (p + accounts - shift) % accounts THEN 1 ELSE 2 END
					END AS debit_version,
				CASE WHEN shop THEN -1.00 * (t + 1)
					WHEN p < (p + accounts - shift) % accounts THEN -1.00 ELSE 0.00 END AS debit_posted,
				CASE WHEN shop THEN t / 10 + 1
					ELSE 2 * r + CASE WHEN p < q THEN 1 ELSE 2 END END AS credit_version,
				CASE WHEN shop THEN 1.00 * (t / 10 + 1)
					WHEN p < q THEN 1.00 ELSE 0.00 END AS credit_posted
			FROM (
				SELECT *, (p + shift) % accounts AS q
				FROM (
					SELECT n, r, k % 11 = 10 AS shop, k - k / 11 AS p, n / 11 AS t,
						1 + (r * 7919) % (accounts - 1) AS shift
					FROM (SELECT n, n / per_round AS r, n % per_round AS k
						FROM generate_series(0, rows - 1) n) a) b) c) s;
	UPDATE teller.account a SET version = s.versions, posted = s.posted, last_at = s.last_at
		FROM (SELECT account, count(*) AS versions, sum(moved) AS posted, max(recorded_at) AS last_at
			FROM (SELECT debit_account AS account, -amount AS moved, recorded_at FROM teller.journal
				UNION ALL
				SELECT credit_account, amount, recorded_at FROM teller.journal) v
			GROUP BY account) s
		WHERE a.ledger_id = 1 AND a.account_id = s.account;
	EXECUTE debit_index;
	EXECUTE credit_index;
END $$;

-- So many holds of 1.00, in turn on each account, that are due at once, in the
-- tables of pg_teller or in those of another schema.  In teller one more is
-- placed by a call, which wakes the worker at the commit.
CREATE PROCEDURE growth.load_holds(schema text, accounts bigint, holds bigint)
LANGUAGE plpgsql AS $$
DECLARE
	tx bigint := (SELECT max(j.tx) FROM teller.journal j);
	began timestamptz;
BEGIN
	IF schema = 'teller' THEN
		PERFORM teller.hold(1, 0, -1, 1, ttl => '1 millisecond');
	END IF;
	EXECUTE format('SELECT max(last_at) FROM %I.account', schema) INTO began;
	EXECUTE format('CREATE TEMP TABLE placed ON COMMIT DROP AS
		SELECT growth.id($2, n) AS hold_id, growth.id($2, $3 + n) AS id, a.account_id,
			-1 - n %% 10 AS shop, a.version + n / $1 + 1 AS version, a.posted,
			a.pending_debit + (n / $1 + 1) * 1.00 AS pending,
			$2 + n * interval ''1 microsecond'' AS at
		FROM generate_series(0, $3 - 1) n
		JOIN %I.account a ON a.ledger_id = 1 AND a.account_id = growth.account(n, $1)
		ORDER BY n', schema) USING accounts, began, holds;
	EXECUTE format('INSERT INTO %I.hold (ledger_id, hold_id, debit_account, credit_account, amount,
			captured, released, expires_at, state, created_at)
		SELECT 1, hold_id, account_id, shop, 1.00, 0.00, 0.00, at + interval ''1 microsecond'', ''open'', at
		FROM placed', schema);
	EXECUTE format('INSERT INTO %I.journal (ledger_id, id, kind, debit_account, credit_account, amount,
			debit_version, debit_posted, debit_pending, hold_id, effective_at, recorded_at, ends_hold, tx)
		SELECT 1, id, ''hold'', account_id, shop, 1.00, version, posted, pending, hold_id, at, at, false, $1
		FROM placed', schema) USING tx;
	EXECUTE format('UPDATE %I.account a SET version = a.version + p.holds, last_at = p.at,
			pending_debit = a.pending_debit + p.holds * 1.00
		FROM (SELECT account_id, count(*) AS holds, max(at) AS at FROM placed GROUP BY account_id) p
		WHERE a.ledger_id = 1 AND a.account_id = p.account_id', schema);
END $$;
