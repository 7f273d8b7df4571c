# the rows are locked in the order of the bytes, not of the key column
# file: src/row_key.c
# specs:
# hunks: 2
/^row_key_compare(/,/^}/s/table->key_collation, a, b/OidIsValid(table->key_collation) ? C_COLLATION_OID : InvalidOid, a, b/
s/#include "utils\/builtins.h"/#include "catalog\/pg_collation.h"\
&/
