# a reversal tests the maximum of the account that pays
# file: src/reverse.c
/account_test_pair(movement->set,/,/movement->amount);/s/movement->credit,/movement->debit,/
