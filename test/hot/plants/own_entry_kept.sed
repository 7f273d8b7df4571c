# an entry made from a row that was rolled back stays
# file: src/hot.c
# specs: hot_switch
/^end_use(/,/^}/s/if (use->own && !committed)/if (false)/
