# a request is overtaken without its row's lock
# file: src/request.c
# specs:
/^begin_again(/,/^}/s/if (!request_lock(request))/if (!request_await(request))/
