# at REPEATABLE READ a debit waits where it cannot know
# file: src/account_hot.c
# specs: hot_repeatable_read
/^wait_for(/,/^}/s/if (IsolationUsesXactSnapshot())/if (false)/
