# a remote that does not go by memos is tried twice
# file: src/operation_fsm.c
/^may_send(/,/^}/s/t->policy->honours_memo && //
