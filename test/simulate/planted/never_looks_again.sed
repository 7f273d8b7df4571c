# in doubt, nobody looks again
# file: src/operation_fsm.c
/^enter_doubt(/,/^}/s/t->row.next_try = .*/t->row.next_try = at < 0 ? at : OP_NEVER;/
