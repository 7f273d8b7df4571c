# a reversal does not see what is reversed already
# file: src/reverse.c
s/return row->amount - journal_reversed(row->ledger, &row->id);/return row->amount;/
