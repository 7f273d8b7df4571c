\set id 1 + :client_id + :clients * random(0, :accounts / :clients - 1)
SELECT version FROM wallet WHERE id = :id \gset
UPDATE wallet SET note = :note, version = version + 1
	WHERE id = :id AND version = :version RETURNING version;
