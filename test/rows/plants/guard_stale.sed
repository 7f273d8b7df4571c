# guard_version lets a writer pass that has read an older version
# file: src/guard_version.c
# specs: guard_version_race row_update_lost_update
/^is_stale(/,/^}/s/return update->set < update->present ||/return update->set > update->present \&\&/
