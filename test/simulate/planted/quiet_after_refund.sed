# executed after a refund is only noted
# file: src/operation_fsm.c
/^after_end(/,/^}/s/t->row.state == OP_REFUNDED/false/
