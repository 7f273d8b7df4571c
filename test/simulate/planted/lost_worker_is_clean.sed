# a worker that is gone, or a lease that ran out, leaves the row clean
# file: src/operation_fsm.c
/^on_worker_lost(/,/^}/s/attempt_unproven(t);/{\
		enter_retry_wait(t);\
	}/
/^on_tick(/,/^}/s/attempt_unproven(t);/enter_retry_wait(t);/
