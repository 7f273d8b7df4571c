# a lookup that finds nothing refunds
# file: src/operation_fsm.c
/^on_unanswered(/,/^}/s/t->row.found_nothing = true;/refund(t, OP_REASON_EXPIRED);/
/^on_unanswered(/,/^}/s/if (may_fence(t))/if (false)/
