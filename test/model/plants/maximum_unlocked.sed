# a hold does not lock the account whose maximum it counts against
# file: src/hold.c
# specs: hold_limit
/^hold_lock_sides(/,/^}/s/peeked->has_max ? 2 : 1/1/
