# row_update does not test the version that it expects
# file: src/row_update.c
# specs: row_update_two_winners row_update_lost_update
/^update_sql(/,/^}/s/AND %s OPERATOR(pg_catalog.=) \$%d"/AND (%s IS NOT NULL OR $%d IS NULL)"/
