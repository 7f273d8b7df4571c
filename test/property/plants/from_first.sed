# transfer_from passes over the first of several accounts
# file: src/transfer_from.c
/^prepare(/,/^}/s/for (int i = 0;/for (int i = request->count > 1;/
