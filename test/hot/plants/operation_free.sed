# what operations hold, which has no deadline, counts as due
# file: src/hold_row.c
# hunks: 2
/^visit_holds(/,/^}/s/if (hold_is_due(&hold, side->now) == side->due)/if ((hold_is_due(\&hold, side->now) || !hold.has_deadline) == side->due)/
/^visit_holds(/,/^}/s/else if (side->due)/else if (side->due \&\& side == NULL)/
