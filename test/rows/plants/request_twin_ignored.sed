# a twin does not wait for the transaction that is just writing the request
# file: src/rel.c
# specs:
/^rel_await_in(/,/^}/s/if (TransactionIdIsValid(holder))/if (TransactionIdIsValid(holder) \&\& dirty.speculativeToken)/
