# the first byte leaves before the attempt row is on disk
# file: src/operation_fsm.c
/^claim_execute(/,/^}/s/OP_DO_NEW_ATTEMPT | //
