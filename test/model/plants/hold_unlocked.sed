# a capture decides on the hold as it was before the locks
# file: src/hold.c
# specs: capture_capture
/^hold_decide_capture(/,/^}/s/movement->hold = hold_lock(ledger, id);/&\
	movement->hold->state = peeked->state;\
	movement->hold->captured = peeked->captured;\
	movement->hold->released = peeked->released;/
