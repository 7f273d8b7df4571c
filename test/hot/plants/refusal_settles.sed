# a refusal of the bank's is taken for a payment
# file: src/pull_answer.c
s/{"rejected", OP_EV_REPLY_REJECTED, /{"rejected", OP_EV_REPLY_EXECUTED, /
