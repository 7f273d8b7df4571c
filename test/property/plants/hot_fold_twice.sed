# a fold does not say that it has the last epoch, which is added again
# file: src/hot_fold.c
# preloaded: --hot
/^fold_locked(/,/^}/s/&tail, range\.through, open/\&tail, range.through - 1, open/
