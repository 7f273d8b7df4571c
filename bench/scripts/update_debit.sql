\set id random(1, :accounts)
UPDATE wallet SET balance = balance - 1
	WHERE id = :id AND balance - 1 >= 0 RETURNING balance;
