# each retry has a memo of its own
# file: test/simulate/worker.c
/^send_claimed(/,/^}/s/\.memo = row->memo,/.memo = row->memo + row->last_attempt,/
