-- The book of a small shop, for the programs `till` in the three directories
-- here.  Run it once as a superuser in a database of your own:
--
--	 createdb till && psql -d till -f setup.sql
--
-- The programs then connect as the role till_app, which may post and nothing
-- else: PGDATABASE=till PGUSER=till_app
\set ON_ERROR_STOP on

CREATE EXTENSION pg_teller;
SELECT teller.create_ledger(1, 'shop');
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(1, 1, 'USD', 'world', min_balance => NULL);
SELECT teller.open_account(1, 2, 'USD', 'alice');
SELECT teller.open_account(1, 3, 'USD', 'shop');
SELECT teller.open_account(1, 4, 'USD', 'fees');
SELECT * FROM teller.transfer(1, 1, 2, 100.00, key => 'opening');

-- The application's own row, written in the transaction that moves the money.
CREATE TABLE purchase (
	id			text PRIMARY KEY,
	amount		numeric NOT NULL,
	movement	uuid NOT NULL		-- the journal row
);

CREATE ROLE till_app LOGIN;
GRANT USAGE ON SCHEMA teller TO till_app;
SELECT teller.grant_ledger(1, 'till_app', 'post');
GRANT SELECT, INSERT ON purchase TO till_app;
