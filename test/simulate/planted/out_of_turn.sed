# an operation does not wait for the one before it on its account
# file: src/operation_fsm.c
/^enter_queue(/,/^}/s/t->row.predecessor_open ?/false ?/
