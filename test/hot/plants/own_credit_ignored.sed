# what a transaction got itself it cannot spend
# file: src/hot.c
# specs: hot_credit_in_flight
/^weigh(/,/^}/s/add_to_room(&sure, own->given\[ask->side\])/add_to_room(\&sure, 0)/
