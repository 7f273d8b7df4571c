# who entered in a savepoint that was released leaves with a later one
# file: src/hot_gate.c
# specs: hot_gate
# hunks: 2
/^hot_gate_keep(/,/^}/{
s/visit->guest_level = Min(visit->guest_level, level - 1);/;/
s/visit->alone_level = Min(visit->alone_level, level - 1);/;/
}
