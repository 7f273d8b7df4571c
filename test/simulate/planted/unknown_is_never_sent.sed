# after a restore, what looks as if it was never sent goes back into the queue
# file: src/operation_fsm.c
/^on_reconciled(/,/^}/s/kind == OP_EV_RECONCILED_NEVER_SENT && is_clean(t)/is_clean(t)/
