-- Accounts for the withdrawals of a backlog; may be run again.
SELECT count(teller.open_account(1, i, 'USD'))
	FROM generate_series(1000, 999 + :accounts) i;
SELECT count(t.id)
	FROM generate_series(1000, 999 + :accounts) i,
		 LATERAL teller.transfer(1, 1, i, 1000000, key => 'backlog ' || i) t;
