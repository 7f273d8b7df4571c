-- Servers of wrapper teller_http: their options, tested without libcurl.
-- test/t/060_http.pl and its neighbours call them.
\pset format unaligned
\pset tuples_only on
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
-- CREATE SERVER and CREATE USER MAPPING with these options; rolled back.
CREATE FUNCTION pg_temp.server(options text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.says(format('CREATE SERVER regress_http_try FOREIGN DATA WRAPPER teller_http OPTIONS (%s);'
		' DROP SERVER regress_http_try', options))
$$;
CREATE FUNCTION pg_temp.mapping(options text) RETURNS text LANGUAGE sql AS $$
	SELECT pg_temp.says(format('CREATE USER MAPPING FOR CURRENT_USER SERVER regress_http OPTIONS (%s);'
		' DROP USER MAPPING FOR CURRENT_USER SERVER regress_http', options))
$$;

-- The wrapper has no options, a server needs its url.
SELECT pg_temp.says($$ALTER FOREIGN DATA WRAPPER teller_http OPTIONS (ADD url 'https://bank.example')$$);
SELECT pg_temp.says($$CREATE SERVER regress_http_try FOREIGN DATA WRAPPER teller_http$$);
SELECT pg_temp.server($$allow_private 'on'$$);
CREATE SERVER regress_http FOREIGN DATA WRAPPER teller_http OPTIONS (url 'https://bank.example:8443/ledger');

-- What a url may be, and what not.
SELECT url, pg_temp.server(format('url %L', url)) FROM unnest(ARRAY[
	'https://bank.example', 'https://bank.example/', 'https://bank.example:443/a/b-c_d~e/%20',
	'https://192.0.2.7:8443', 'https://[2001:db8::1]:8443/x', 'https://[2001:db8::1]']) AS url;
SELECT url, left(pg_temp.server(format('url %L', url)), 5) FROM unnest(ARRAY[
	'', ' ', 'bank.example', '//bank.example', 'HTTPS://bank.example', 'ftp://bank.example',
	'file:///etc/passwd', 'https://', 'https:///ledger', 'https://shop:secret@bank.example',
	'https://shop@bank.example', 'https://bank.example?x=1', 'https://bank.example/?x=1',
	'https://bank.example/#x', 'https://bank.example:0', 'https://bank.example:65536',
	'https://bank.example:', 'https://bank.example:8443x', 'https://bank.example:123456',
	'https://bank example/', 'https://[::1', 'https://[]', 'https://[::1]x', 'https://bank.example\\x',
	'https://bänk.example', E'https://bank.example/\r\nX: y', E'https://bank.example/\t',
	'https://bank.example/' || repeat('x', 1024)]) AS url;
SELECT pg_temp.server($$url 'https://shop:secret@bank.example'$$);
SELECT pg_temp.server($$url E'https://bank.example/\r\nX: y'$$);
SELECT pg_temp.server($$url 'http://bank.example'$$);
SELECT pg_temp.server($$url 'http://bank.example', allow_insecure 'off'$$);
SELECT pg_temp.server($$url 'http://bank.example', allow_insecure 'on'$$);
SELECT pg_temp.says($$ALTER SERVER regress_http OPTIONS (SET url 'http://bank.example')$$);
SELECT pg_temp.says($$ALTER SERVER regress_http OPTIONS (DROP url)$$);

-- The other options of a server.
SELECT pg_temp.server($$url 'https://bank.example', ca_file '/etc/ssl/ca.crt', allow_private 'on',
	allow_insecure 'off', max_in_flight '4', timeout '5 s', can_fence 'off', can_lookup 'on',
	honours_memo 'off', memo_retention '30 d'$$);
SELECT option, pg_temp.server(format('url %L, %s', 'https://bank.example', option))
FROM unnest(ARRAY['allow_private ''perhaps''', 'allow_insecure ''''', 'ca_file ''''', 'ca_file E''a\nb''',
	'timeout ''5''', 'max_in_flight ''0''', 'memo_retention ''30''']) AS option;
-- Of another wrapper, or in the wrong place.
SELECT pg_temp.server($$url 'https://bank.example', host 'x'$$);
SELECT pg_temp.server($$url 'https://bank.example', ledger '1'$$);
SELECT pg_temp.server($$url 'https://bank.example', token 'secret'$$);
SELECT pg_temp.server($$url 'https://bank.example', proxy 'http://proxy.example'$$);
SELECT pg_temp.mapping($$url 'https://bank.example'$$);
SELECT pg_temp.mapping($$cookie 'x'$$);
SELECT pg_temp.says($$CREATE SERVER regress_http_try FOREIGN DATA WRAPPER teller_postgres OPTIONS (url 'https://bank.example')$$);
SELECT pg_temp.says($$CREATE SERVER regress_http_try FOREIGN DATA WRAPPER teller_postgres OPTIONS (allow_private 'on')$$);

-- User mappings.
SELECT options, pg_temp.mapping(options) FROM unnest(ARRAY['token ''secret''',
	'"user" ''shop'', password ''secret''', 'cert_file ''/c'', key_file ''/k'', key_password ''secret''',
	'token ''secret'', cert_file ''/c''']) AS options;
SELECT pg_temp.mapping($$"user" 'shop'$$);
SELECT pg_temp.mapping($$password 'secret'$$);
SELECT pg_temp.mapping($$"user" 'shop', password 'secret', token 'secret'$$);
SELECT pg_temp.mapping($$key_file '/k'$$);
-- A value is a secret: it is not repeated.
SELECT pg_temp.mapping($$token E'secret\r\nX-Injected: y'$$);
SELECT pg_temp.mapping($$token ''$$);
SELECT pg_temp.mapping($$"user" 'shop:secret', password 'secret'$$);

-- Who may set what.
CREATE ROLE regress_http_user;
GRANT USAGE ON FOREIGN DATA WRAPPER teller_http TO regress_http_user;
GRANT USAGE ON FOREIGN SERVER regress_http TO regress_http_user;
DO $$ BEGIN EXECUTE format('GRANT CREATE ON DATABASE %I TO regress_http_user', current_database()); END $$;
SET ROLE regress_http_user;
SELECT pg_temp.server($$url 'https://bank.example'$$);
SELECT pg_temp.server($$url 'https://bank.example', allow_private 'on'$$);
SELECT pg_temp.mapping($$token 'secret'$$);
SELECT pg_temp.mapping($$cert_file '/etc/ssl/private/key'$$);
SELECT pg_temp.mapping($$key_file '/etc/ssl/private/key'$$);
SELECT pg_temp.says($$SELECT teller.http_validator(ARRAY['url=https://bank.example'], 'pg_foreign_server'::regclass)$$);
RESET ROLE;

-- A settlement account, and what check_server says as far as nothing is called.
SELECT teller.create_ledger(192);
SELECT teller.create_asset('USD', 2);
SELECT teller.open_account(192, 9, 'USD', 'at the service', min_balance => NULL);
SELECT teller.set_settlement_account(192, 'regress_http', 9);
SELECT check_name, ok FROM teller.check_server(192, 'regress_http') WHERE check_name IN ('server', 'usage', 'settlement_account');
SELECT * FROM teller.verify();

DROP SERVER regress_http CASCADE;
DO $$ BEGIN EXECUTE format('REVOKE CREATE ON DATABASE %I FROM regress_http_user', current_database()); END $$;
REVOKE USAGE ON FOREIGN DATA WRAPPER teller_http FROM regress_http_user;
DROP ROLE regress_http_user;
