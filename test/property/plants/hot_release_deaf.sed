# what a released savepoint did to a hot account goes with a later one
# file: src/hot.c
# preloaded: --hot
/^at_savepoint_release(/,/^}/s/marks\[i\]\.level = level - 1;/;/
