# the floor is not tested again when a debit is tried again
# file: src/row.c
# specs: row_debit_last_unit
# hunks: 2
/^row_explain(/,/^}/s/value, change->limit))/value, change->bound))/
/^row_change(/,/^}/s/^\([[:space:]]*\)row_change_run(&change)))/\1(change.limit_kind = LIMIT_NONE, row_change_run(\&change))))/
