# after a wait a debit is decided by what was read before it
# file: src/row_plan.c
# specs: row_debit_credit_wait row_update_two_winners
# hunks: 2
/^row_lock_value(/,/^}/{
	s/uint64		rows = 0;/&\
	bool		early;\
\
	SPI_execute_with_args(psprintf("SELECT %s FROM %s WHERE %s %s $1",\
								   quote_identifier(get_attname(table->relid, column, false)),\
								   table->name, table->key_name,\
								   table->key_equals),\
						  1, \&table->key_type, \&key, NULL, false, 1);\
	early = SPI_processed == 1;\
	if (early)\
		*value = row_plan_value(1, isnull);/
	s/^	\*value = row_plan_value(1, isnull);$/	if (!early)\
	&/
}
