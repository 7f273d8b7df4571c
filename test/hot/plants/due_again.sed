# what was due in an old snapshot is free a second time
# file: src/account.c
# specs: hot_due
/^read_due(/,/^}/s/Snapshot	snapshot = account->use < 0 ? NULL :/Snapshot	snapshot = account->ledger != 0 ? NULL :/
