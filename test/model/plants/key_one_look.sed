# a denial does not look whether the twin was this very call
# file: src/keyed.c
# specs: key_last_money
/^tell_denial(/,/^}/s/!replay(keyed, answer)/true/
