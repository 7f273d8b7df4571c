# a rollback to a savepoint leaves the account to whoever had it alone
# file: src/hot_gate.c
# specs: hot_gate
/^leave(/,/^}/s/if (entry->alone == me())/if (entry->alone == me() \&\& level < 2)/
