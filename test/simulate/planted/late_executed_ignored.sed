# executed counts only for the attempt in flight
# file: src/operation_fsm.c
/^on_executed(/,/^}/s/t->row.state != OP_CONFLICT)/t->row.state == OP_IN_FLIGHT)/
