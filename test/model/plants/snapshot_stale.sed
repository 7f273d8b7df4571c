# after a wait the row is read as it was before
# file: src/rel.c
# specs: debit_debit capture_capture
/^rel_lock_version(/,/^}/{
	s/ItemPointerData tid = slot->tts_tid;/&\
	ItemPointerData first = tid;/
	s/\*changed = failure.traversed;/&\
			if (failure.traversed \&\&\
				table_tuple_fetch_row_version(rel->heap, \&first, SnapshotAny, slot))\
				slot->tts_tid = tid;/
}
