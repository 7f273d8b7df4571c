# a debit does not mind what is held
# file: src/account.c
# specs: hold_debit hold_hold
/^account_test_minimum(/,/^}/s/available = amount_subtract(account->posted, account->pending_debit);/available = account->posted;/
