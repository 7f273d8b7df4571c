# a failure of an old attempt is taken for one of the attempt in flight
# file: src/operation_fsm.c
s/t->row.state != OP_IN_FLIGHT || !t->event->current_attempt/t->row.state != OP_IN_FLIGHT/
