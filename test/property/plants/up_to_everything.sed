# transfer_up_to gives away what is held
# file: src/account.c
/^account_room(/,/^}/s/account_available(set, account)/account->posted/
