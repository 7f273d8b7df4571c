\set id random(1, :accounts)
UPDATE wallet SET balance = balance + 1 WHERE id = :id RETURNING balance;
