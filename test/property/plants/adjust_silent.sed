# adjust_hold leaves out the credit account's pending sum
# file: src/hold_change.c
/^adjust(/,/^}/s/amount_add(movement->credit->pending_credit, more);/movement->credit->pending_credit;/
