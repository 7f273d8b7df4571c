# a rollback settles as a commit does
# file: src/hot.c
# specs: hot_last_money
/case XACT_EVENT_ABORT:/,/break;/s/end_all(false)/end_all(true)/
