# after a restore the rows are believed
# file: test/simulate/people.c
/^people_adopt(/,/^}/s/if (!tx.rows\[i\].exists/& || true/
