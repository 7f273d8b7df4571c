# the balance is read before the account is locked
# file: src/account.c
# specs: debit_debit hold_debit
/^lock_account(/,/^}/{
	s/TupleTableSlot \*slot = rel_make_slot(set->rel);/&\
		Account    *early = account_peek(set->ledger, id, NULL);/
	s/account_read(account, slot);/&\
				if (early != NULL)\
				{\
					account->posted = early->posted;\
					account->pending_debit = early->pending_debit;\
					account->pending_credit = early->pending_credit;\
					account->version = early->version;\
				}/
}
