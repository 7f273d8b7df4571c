# a hold that is due can still be extended
# file: src/hold_change.c
# specs: extend_expire
/^hold_decide_extend(/,/^}/{
	0,/if (movement->denial != NULL)/s//if (movement->denial != NULL \&\& hold->state != HOLD_OPEN)/
	s/deadline = hold_deadline(/movement->denial = NULL;\
	&/
}
