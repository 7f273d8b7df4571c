# others come in while somebody has an account alone, or wants to
# file: src/hot_gate.c
# specs: hot_switch hot_gate
/^other_alone(/,/^}/s/if (entry->alone < 0 ||/if (entry != NULL ||/
