# "busy" is taken for "it did not run"
# file: src/operation_fsm.c
/^execute_unanswered(/,/^}/s/kind == OP_EV_REFUSED)$/kind == OP_EV_REFUSED || kind == OP_EV_REPLY_BUSY)/
