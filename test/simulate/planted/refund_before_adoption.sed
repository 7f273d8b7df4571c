# rows of another incarnation count as proof that nothing was sent
# file: src/operation_fsm.c
/^surely_not_run(/,/^}/s/ && t->policy->adopted//
