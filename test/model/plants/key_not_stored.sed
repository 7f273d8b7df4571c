# the key is looked up, but never stored
# file: src/keyed.c
# specs: key_twin
/^run_once(/,/^}/s/if (keyed->key != NULL)/if (false)/
