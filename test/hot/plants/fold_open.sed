# a fold adds up epochs that are still open, and says it has them all
# file: src/hot_fold.c
# hunks: 2
s/^\(	range\.nexcept = \)nopen;/\10;/
s/range\.through, open, nopen);/range.through, open, 0);/
