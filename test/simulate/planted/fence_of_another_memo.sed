# the answer to a fence of another memo is taken for ours
# file: src/operation_fsm.c
/\[OP_EV_REPLY_CANCELLED\] =/s/, \.memo = true//
