\set id random(1, :accounts)
SELECT teller.row_debit('wallet', :id, 1);
