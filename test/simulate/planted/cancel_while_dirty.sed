# a cancel refunds what may have run
# file: src/operation_fsm.c
/^on_cancel(/,/^}/s/is_waiting(t) && surely_not_run(t)/is_waiting(t)/
