# balance_at by effective time leaves out what is effective at that very moment
# file: src/history.c
s/get_time(slot, COL_EFFECTIVE_AT) <= at/get_time(slot, COL_EFFECTIVE_AT) < at/
