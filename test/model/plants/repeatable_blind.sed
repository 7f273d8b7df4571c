# above READ COMMITTED the newest version is taken, and no one is stale
# file: src/rel.c
# specs: debit_repeatable_read debit_serializable
/^rel_lock_version(/,/^}/s/if (!IsolationUsesXactSnapshot())/if (true)/
