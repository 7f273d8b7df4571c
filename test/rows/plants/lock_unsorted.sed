# the rows are locked in the order in which they are given
# file: src/row_lock.c
# specs: lock_rows_opposite
/^row_lock_compare(/,/^}/s/return order != 0 ? order : left->place - right->place;/return order == 0 ? 0 : left->place - right->place;/
