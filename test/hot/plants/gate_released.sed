# who entered in a savepoint that was released leaves with a later one
# file: src/hot_gate.c
# specs: hot_gate
/^hot_gate_keep(/,/^}/s/Min(visit->\(guest\|alone\)_level, level - 1)/Max(visit->\1_level, 0)/
