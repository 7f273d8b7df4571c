# a denial that is only returned takes the key all the same
# file: src/keyed.c
s/if (on_denial == DENIAL_RECORD)$/if (on_denial != DENIAL_RAISE \&\& keyed->key != NULL)/
