# a lock for an update keeps nobody from updating
# file: src/row_lock.c
# specs: lock_rows_strength
/^row_lock_read_strength(/,/^}/s/call->strength = LockTupleNoKeyExclusive;/call->strength = LockTupleKeyShare;/
