# a holder that was overtaken may still answer
# file: src/request.c
# specs:
/^check_token(/,/^}/s/if (has_token && token != request->token)/if (has_token \&\& token > request->token)/
