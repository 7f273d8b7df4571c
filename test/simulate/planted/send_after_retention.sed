# sent again although the remote may have dropped the memo
# file: src/operation_fsm.c
/^may_send(/,/^}/s/ && inside_retention(t)//
