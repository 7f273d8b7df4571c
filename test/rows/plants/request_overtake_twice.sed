# who waited to overtake a request does not look whether another one has
# file: src/request.c
# specs:
/^begin_again(/,/^}/s/if (!has_lapsed(request, now))/if (request->finished)/
