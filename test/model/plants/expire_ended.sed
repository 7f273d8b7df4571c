# the sweep expires what was captured or prolonged meanwhile
# file: src/expire.c
# specs: capture_expire expire_expire
/^expire_one(/,/^}/s/movement->hold->state == HOLD_OPEN &&/true ||/
