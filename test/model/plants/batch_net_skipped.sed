# an atomic batch is not tested against the limits
# file: src/post.c
# specs: post_transfer post_post_crossing
/^test_net(/,/^}/s/for (int i = 0; i < set->count && denial == NULL; i++)/for (int i = 0; i < 0 \&\& denial == NULL; i++)/
