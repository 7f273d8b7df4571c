# a credit in flight is spent before it is certain
# file: src/hot.c
# specs: hot_credit_in_flight
/^weigh(/,/^}/s/add_to_room(&sure, own->given\[ask->side\])/add_to_room(\&sure, gauge->given)/
