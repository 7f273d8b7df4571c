# the balance is read before the account is locked
# file: src/account.c
# specs: debit_debit hold_debit
/^account_set_lock(/,/^}/{
	s/TupleTableSlot \*slot = rel_make_slot(set->rel);/&\
		Account    *early = account_peek(ledger, sorted[i], NULL);/
	s/account_read(&set->accounts\[i\], slot);/&\
		if (early != NULL)\
		{\
			set->accounts[i].posted = early->posted;\
			set->accounts[i].pending_debit = early->pending_debit;\
			set->accounts[i].pending_credit = early->pending_credit;\
			set->accounts[i].version = early->version;\
		}/
}
