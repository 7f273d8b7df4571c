# in doubt, and out of time: the money goes back
# file: src/operation_fsm.c
/^on_tick(/,/^}/s/is_waiting(t) || t->row.state == OP_IN_DOUBT)/&\
	{\
		if (t->row.state == OP_IN_DOUBT \&\& t->event->now >= t->row.expires_at)\
			refund(t, OP_REASON_EXPIRED);\
		else\
			keep_waiting(t);\
	}\
	else if (false)/
