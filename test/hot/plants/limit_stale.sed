# an entry outlives a change of the account's row
# file: src/account.c
# specs: hot_switch
/^lock_hot_row(/,/^}/s/hot_note_fold(set->ledger, account->id);/;/
