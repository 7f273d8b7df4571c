# a change of an account does not wait for those who use it
# file: src/account.c
# specs: hot_switch hot_limit
/^lock_hot_row(/,/^}/s/hot_lock(set->ledger, account->id, true);/hot_lock(set->ledger, account->id, false);/
