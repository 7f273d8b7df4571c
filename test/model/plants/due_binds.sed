# a hold that is due binds money until it is swept
# file: src/account.c
# specs: due_hold
/^account_test_minimum(/,/^}/s/available = account_available(set, account);/available = available + 0;/
