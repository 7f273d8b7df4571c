# with skip, rows that others have are returned as if they were locked
# file: src/row_lock.c
# specs: lock_rows_skip
# hunks: 2
/^row_lock_all(/,/^}/{
	/case ROW_TAKEN:/d
	s/case ROW_LOCKED:/case ROW_TAKEN:\
			&/
}
