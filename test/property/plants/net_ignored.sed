# an atomic batch tests each item on its own, not the net result
# file: src/post.c
/^test_net(/,/^}/{
	s/if (net\[i\] < 0)/if (net[i] < 0 \&\& set->count < 3)/
}
