# a batch that meets a twin's key leaves those it had stored by then
# file: src/batch.c
# specs: post_keys_overlap
/^store_items(/,/^}/s/key_unstore(batch->post.ledger, item->key);/(void) item;/
