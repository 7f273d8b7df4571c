# a credit does not mind its ceiling
# file: src/row.c
# specs: row_debit_credit_wait
/^row_change(/,/^}/s/SPI_connect();/&\
	if (statement == ROW_CREDIT)\
		change.limit_kind = LIMIT_NONE;/
