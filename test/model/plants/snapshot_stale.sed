# after a wait the row is read in the statement's old snapshot
# file: src/rel.c
# specs: debit_debit capture_capture
/^rel_lock_row(/,/^}/{
	s/found = rel_lock_version(rel, snapshot, mode, slot);/{\
		ItemPointerData tid;\
		TupleTableSlot *old = rel_make_slot(rel);\
\
		&\
		tid = slot->tts_tid;\
		if (found \&\& rel_fetch(rel, GetActiveSnapshot(), nkeys, keys, old))\
		{\
			ExecCopySlot(slot, old);\
			slot->tts_tid = tid;\
		}\
		ExecDropSingleTupleTableSlot(old);\
	}/
}
