"""The application's own worker: what one writes without pg_teller.

It gives the same guarantees.  A payout is claimed with FOR UPDATE SKIP LOCKED
and its attempt is committed (and flushed) before anything is sent; every
payout has its memo, which the bank honours; outcome and money are recorded in
one transaction.  Threads claim a few payouts at a time, so that the claim is
not what is measured.
"""

import contextlib
import http.client
import json
import threading
import time

import psycopg

CLAIM = """
WITH claimed AS MATERIALIZED (
	SELECT id FROM h.payout WHERE state = 'held'
	ORDER BY created_at LIMIT %s FOR UPDATE SKIP LOCKED
), marked AS (
	UPDATE h.payout p SET state = 'in_flight' FROM claimed c WHERE p.id = c.id
	RETURNING p.id, p.memo, p.amount, p.nonce, p.not_after
), attempted AS (
	INSERT INTO h.attempt (payout, attempt) SELECT id, 1 FROM marked
)
SELECT * FROM marked
"""
EXECUTE = """
SELECT status, reference, memo FROM teller_remote.execute(%s,
	'00000000-0000-4000-8000-000000000002', 1, 'withdraw', 'savings', %s, 'USD',
	%s, %s, NULL)
"""
SETTLE = "SELECT h.settle(%s, %s)"


class AppWorker:
    def __init__(self, shop, bank, threads=16, batch=8):
        self.shop = shop
        self.bank = bank
        self.batch = batch
        self.settled = 0
        self.lock = threading.Lock()
        self.work = threading.Condition(self.lock)
        self.over = False
        self.errors = []
        self.threads = [
            threading.Thread(target=self.run, daemon=True) for _ in range(threads)
        ]
        self.threads.append(threading.Thread(target=self.listen, daemon=True))

    def start(self):
        for thread in self.threads:
            thread.start()

    def stop(self):
        with self.lock:
            self.over = True
            self.work.notify_all()
        for thread in self.threads:
            thread.join(30)

    def wait_for(self, number, timeout_s):
        """True as soon as `number` payouts are settled."""
        with self.lock:
            return self.work.wait_for(
                lambda: self.settled >= number or self.errors, timeout_s
            ) and not self.errors

    def listen(self):
        """Wake the threads when a payout is submitted."""
        with psycopg.connect(self.shop, autocommit=True) as connection:
            connection.execute("LISTEN payout")
            while not self.over:
                for _ in connection.notifies():
                    with self.lock:
                        self.work.notify_all()
                        if self.over:
                            return

    def run(self):
        try:
            with psycopg.connect(self.shop, autocommit=True) as shop:
                with self.reach() as bank:
                    while not self.over:
                        if not self.round(shop, bank):
                            with self.lock:
                                self.work.wait(0.05)
        except Exception as error:
            with self.lock:
                if not self.over:
                    self.errors.append(str(error))
                self.work.notify_all()

    def reach(self):
        """A connection to the bank, as a context."""
        return psycopg.connect(self.bank, autocommit=True)

    def ask(self, bank, payout, memo, amount, nonce, not_after):
        """The call: status, reference and memo of the answer."""
        return bank.execute(EXECUTE, (memo, amount, nonce, not_after)).fetchone()

    def round(self, shop, bank):
        """Claim, call, record; how many there were."""
        claimed = shop.execute(CLAIM, (self.batch,)).fetchall()
        for payout, memo, amount, nonce, not_after in claimed:
            status, reference, said = self.ask(bank, payout, memo, amount, nonce,
                                               not_after)
            if status != "executed" or bytes(said) != bytes(memo):
                raise RuntimeError("the bank said %s" % status)
            shop.execute(SETTLE, (payout, reference))
            with self.lock:
                self.settled += 1
                self.work.notify_all()
        return len(claimed)


class HttpAppWorker(AppWorker):
    """The bank is the port of a service on this machine."""

    def reach(self):
        return contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.bank))

    def ask(self, bank, payout, memo, amount, nonce, not_after):
        name = memo.hex()
        bank.request("POST", "/operations", body=json.dumps({
            "memo": name, "direction": "withdraw", "account": "savings",
            "amount": str(amount), "asset": "USD", "nonce": nonce,
            "not_after": not_after.isoformat(),
        }), headers={"Idempotency-Key": '"%s"' % name,
                     "Content-Type": "application/json"})
        answer = json.load(bank.getresponse())
        return answer["status"], answer["reference"], bytes.fromhex(answer["memo"])


def measure(shop, bank, number, submit, threads=16, kind=AppWorker):
    """Seconds from the first submit until `number` payouts are settled."""
    worker = kind(shop, bank, threads)
    worker.start()
    started = time.monotonic()
    submit()
    done = worker.wait_for(number, 600)
    seconds = time.monotonic() - started
    with psycopg.connect(shop, autocommit=True) as connection:
        worker.over = True
        connection.execute("NOTIFY payout")
    worker.stop()
    if not done:
        raise RuntimeError("not settled: %s" % "; ".join(worker.errors[:3]))
    return seconds
