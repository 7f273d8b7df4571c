# what others in flight have taken is taken again
# file: src/hot.c
# specs: hot_last_money
/^weigh(/,/^}/s/add_to_room(&sure, -gauge->taken)/add_to_room(\&sure, -own->taken[ask->side])/
