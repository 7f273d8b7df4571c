# the clock is read before the locks, and nothing holds it back
# file: src/account.c
# specs: due_hold
/^account_set_lock_as(/,/^}/{
	s/set->ledger = ledger;/&\
	set->now = clock_read();/
	s/^	set->now = clock_read();$//
	s/set->now = Max(set->now, set->accounts\[i\].last_at);/set->now = Max(set->now, 0);/
}
