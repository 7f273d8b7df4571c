# a result tells what a hot account had before the call waited
# file: src/account_hot.c
# preloaded: --hot
/^refresh(/,/^}/s/if (account->use < 0)/if (set->count > 0)/
