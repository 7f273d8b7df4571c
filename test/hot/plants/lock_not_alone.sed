# a call that needs an account for itself does not wait for those who use it
# file: src/hot_gate.c
# specs: hot_switch hot_limit hot_gate
/^hot_gate_enter(/,/^}/s/if (!await_guests(visit->entry))/if (visit == NULL \&\& !await_guests(visit->entry))/
