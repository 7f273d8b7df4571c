# a conflict is settled by the next answer
# file: src/operation_fsm.c
/^on_executed(/,/^}/s/t->row.state != OP_CONFLICT)/true)/
