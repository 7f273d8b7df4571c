# a row that was deleted while it was waited for counts as missing, also if it is there again
# file: src/row_lock_heap.c
# specs: lock_rows_deleted
/^row_lock_heap_row(/,/^}/s/case TM_Deleted:/&\
				return ROW_MISSING;/
