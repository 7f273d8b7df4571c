# a hold that is due can still be captured
# file: src/hold.c
# specs: capture_expire
/^test_open(/,/^}/s/state == HOLD_OPEN && !hold_is_due(hold, now)/state == HOLD_OPEN \&\& now > 0/
