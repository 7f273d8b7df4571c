# a capture decides on the hold as it was before the locks
# file: src/hold.c
# specs: capture_capture
/^hold_decide_capture(/,/^}/{
	s/Movement   \*movement;/&\
	Hold		early = *peeked;/
	s/movement->hold = hold_lock(peeked);/&\
	movement->hold->state = early.state;\
	movement->hold->captured = early.captured;\
	movement->hold->released = early.released;/
}
