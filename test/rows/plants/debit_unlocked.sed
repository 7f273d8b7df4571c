# a debit looks at the row without a lock, and then takes the amount
# file: src/row.c
# specs: row_debit_last_unit row_debit_check_then_act
# hunks: 3
/^row_change_sql(/,/^}/s/if (change->limit_kind != LIMIT_NONE)/if (false)/
/^row_explain(/,/^}/s/if (!row_lock_value(change->table, change->key, change->column, &datum,/SPI_execute_with_args(psprintf("SELECT %s FROM %s WHERE %s %s $1",\
								   quote_identifier(change->column_name),\
								   change->table->name,\
								   change->table->key_name,\
								   change->table->key_equals),\
						  1, \&change->table->key_type,\
						  (Datum *) \&change->key, NULL, false, 1);\
	if (SPI_processed == 1)\
		datum = row_plan_value(1, \&isnull);\
	else if (!row_lock_value(change->table, change->key, change->column, \&datum,/
/^row_change(/,/^}/s/SPI_connect();/&\
	row_explain(\&change);/
