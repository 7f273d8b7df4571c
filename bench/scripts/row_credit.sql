\set id random(1, :accounts)
SELECT teller.row_credit('wallet', :id, 1);
