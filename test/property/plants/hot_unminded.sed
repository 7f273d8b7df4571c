# a debit of a hot account tests nothing
# file: src/hot.c
# preloaded: --hot
/^weigh(/,/^}/s/if (ask->amount <= sure)/if (ask->side == HOT_DEBIT || ask->amount <= sure)/
