# the second journal row of one call does not step the version
# file: src/account.c
# specs: capture_release
/^account_step(/,/^}/s/account->version++;/account->version += account->changed ? 0 : 1;/
