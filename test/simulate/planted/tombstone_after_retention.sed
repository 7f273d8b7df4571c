# a fence is believed although the remote may have dropped the memo before
# file: src/operation_fsm.c
/^stored_is_proof(/,/^}/s/(stored != OP_REASON_CANCELLED || inside_retention(t))/(stored == stored)/
