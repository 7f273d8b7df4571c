# the proof that one attempt did not run is taken for all of them
# file: src/operation_fsm.c
/^attempt_not_run(/,/^}/s/if (!is_clean(t))/if (false)/
