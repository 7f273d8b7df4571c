# whoever waits for his turn is never told
# file: src/operation_fsm.c
/^on_predecessor_ended(/,/^}/s/ && !t->row.predecessor_open/ \&\& t->row.predecessor_open/
