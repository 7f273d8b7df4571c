# a hot account that is in breach of a minimum may be given it unforced
# file: src/account_limits.c
# preloaded: --hot
/^test_limits(/,/^}/s/bool		below = account->has_min \&\&/bool		below = account->has_min \&\& !account->hot \&\&/
