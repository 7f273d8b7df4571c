# a rollback to a savepoint leaves its credits to be spent
# file: src/hot.c
# specs: hot_savepoint
/^undo_mark(/,/^}/s/add_change(&use->total, &mark->change, -1);/;/
