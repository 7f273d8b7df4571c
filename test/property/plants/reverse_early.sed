# what is reversed already is read before the accounts are locked
# file: src/reverse.c
/^decide(const void \*arg)/,/^}/{
	s/Movement   \*movement = movement_begin(request->ledger, accounts, 2);/Amount		early = reverse_remaining(original);\
&/
	s/remaining = reverse_remaining(original);/remaining = early;/
}
