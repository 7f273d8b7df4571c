# a transaction may commit a request that it has not finished
# file: src/request_commit.c
# specs:
/^is_unfinished(/,/^}/s/!request->finished &&/false \&\&/
