# a refusal is final although others in flight may make room
# file: src/hot.c
# specs: hot_last_money hot_credit_in_flight
s/return ask->amount > best ? HOT_NO : HOT_WAIT;/return HOT_NO;/
