# why a row was not changed is read without a lock
# file: src/row_plan.c
# specs: row_debit_credit_wait
/^row_lock_value(/,/^}/s/ \$1 FOR NO KEY UPDATE"/ $1"/
