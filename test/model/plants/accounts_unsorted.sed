# the accounts are locked in the order in which they are given
# file: src/account.c
# specs: transfer_crossing lock_accounts
/^account_set_lock_as(/,/^}/{
	0,/for (int i = 0; i < set->count; i++)/s//for (int k = 0, i = 0; k < set->count \&\& (i = count > 1 \&\& ids[0] > ids[1] ? set->count - 1 - k : k, true); k++)/
}
