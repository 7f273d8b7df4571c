# two that share a lock both want it alone
# file: src/account.c
# specs: hot_queue
/^lock_hot(/,/^}/s/hot_unlock(set->ledger, DatumGetInt64(keys\[1\]));/;/
