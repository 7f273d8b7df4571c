# a rollback to a savepoint leaves a guest behind
# file: src/hot_gate.c
# specs: hot_gate
/^leave(/,/^}/s/if (visit->guest_level >= level)/if (level < 2)/
