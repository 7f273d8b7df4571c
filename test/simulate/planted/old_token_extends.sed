# an old token extends the lease of whoever has it now
# file: test/simulate/pull.c
/^holds_lease(/,/^}/s/ && row->token == token;/ \&\& token != 0;/
