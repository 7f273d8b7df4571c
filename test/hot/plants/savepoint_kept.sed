# a rollback to a savepoint does not give back
# file: src/hot.c
# specs: hot_savepoint
/^undo_mark(/,/^}/s/add_to_gauges(use->entry, &mark->change, -1);/;/
