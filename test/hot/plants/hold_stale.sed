# what a change of a hold tells of a hot account is from before it waited
# file: src/hold.c
# specs: hot_hold
/^read_again(/,/^}/s/account_hot_refresh(movement->set);/;/
