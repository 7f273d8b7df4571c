# a result tells what a hot account had before the call waited
# file: src/account_hot.c
# preloaded: --hot
/^account_hot_take(/,/^}/s/account_hot_refresh(set);/;/
