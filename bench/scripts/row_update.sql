\set id 1 + :client_id + :clients * random(0, :accounts / :clients - 1)
SELECT version FROM wallet WHERE id = :id \gset
SELECT teller.row_update('wallet', :id, :version, :changes);
