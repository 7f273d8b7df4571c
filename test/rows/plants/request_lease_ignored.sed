# a lease keeps nobody away
# file: src/request.c
# specs:
/^has_lapsed(/,/^}/s/now > request->lease_until/now > 0/
