# what was reversed already is added up before the accounts are locked
# file: src/reverse.c
# specs: reverse_reverse
/^decide(/,/^}/{
	s/Movement   \*movement = movement_begin_alone(/Amount		early = reverse_remaining(original);\
	&/
	s/remaining = reverse_remaining(original);/remaining = early;/
}
