-- Both contenders reach the bank through a listener that notes the time.  The
-- server that leads there is made by wire.py, which knows where it listens.
SELECT teller.open_account(1, 3, 'USD', 'at the bank', min_balance => NULL);
