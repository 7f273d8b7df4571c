"""The workers under examples/pull_worker, run against a provider that fails in
every way, and killed in the middle.  usage: pull.py LANGUAGE COMMAND...

Connects as PG* in the environment says, as a superuser, to the database
payouts that examples/pull_worker/setup.sql was run in.  Prints a line for each
claim.
"""

import os
import random
import signal
import subprocess
import sys
import time

import psycopg

from fake_provider import FakeProvider

PATIENCE_S = 60
DATABASE = "payouts"
LEASE_S = 2


class Wrong(Exception):
    """A claim that is not true."""


class Test:
    def __init__(self, language, command):
        self.language = language
        self.command = command
        self.failed = False
        self.workers = []
        self.provider = FakeProvider()
        self.db = psycopg.connect(dbname=DATABASE, autocommit=True)
        # A call is given two seconds, unless its operation says otherwise.
        self.db.execute("ALTER SERVER card OPTIONS (ADD timeout '2 s')")

    # ---- claims ---------------------------------------------------------

    def check(self, claim, test):
        try:
            test()
        except (Wrong, psycopg.Error) as error:
            print(f"not ok - {self.language}: {claim}")
            print("#", str(error).replace("\n", "\n# "))
            self.failed = True
        else:
            print(f"ok - {self.language}: {claim}")
        sys.stdout.flush()
        self.kill_all()

    def same(self, what, is_, should_be):
        if is_ != should_be:
            raise Wrong(f"{what}: {is_!r}, and not {should_be!r}")

    def until(self, what, condition):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > end:
                raise Wrong(f"in vain: {what}; " + "; ".join(
                    f"{nonce} {state}" for nonce, state in self.db.execute(
                        "SELECT nonce, state FROM teller.operation"
                        " WHERE ended_at IS NULL")))
            time.sleep(0.02)

    # ---- workers --------------------------------------------------------

    def start(self, lease_s=LEASE_S, batch=10):
        """A worker.  The Python one has options, the Node one arguments."""
        more = [str(lease_s), str(batch), "0.05"]
        if self.language == "python":
            more = ["--lease", more[0], "--batch", more[1], "--idle", more[2]]
        worker = subprocess.Popen(
            [*self.command, "card", self.provider.url, "key", *more],
            env={**os.environ, "PGDATABASE": DATABASE,
                 "PGUSER": "payout_worker"}, stderr=subprocess.DEVNULL)
        self.workers.append(worker)
        return worker

    def kill_all(self):
        for worker in self.workers:
            worker.kill()
            worker.wait()
        self.workers = []

    # ---- operations -----------------------------------------------------

    def pay(self, to, nonce=None, timeout=None):
        self.db.execute(
            "SELECT state FROM teller.withdraw(1, 2, 'card', 10, %s, %s,"
            " attempt_timeout => %s)", (to, nonce or to, timeout))

    def row(self, nonce, columns="concat_ws(' ', state, reason)"):
        return self.db.execute(
            f"SELECT {columns} FROM teller.operation WHERE nonce = %s",
            (nonce,)).fetchone()[0]

    def becomes(self, nonce, state):
        self.until(f"{nonce} is {state}", lambda: self.row(nonce) == state)

    def attempts(self, nonce):
        return self.db.execute(
            "SELECT string_agg(concat_ws(' ', a.verb, a.outcome), ', '"
            " ORDER BY attempt) FROM teller.attempt a"
            " JOIN teller.operation o ON o.id = a.operation_id"
            " WHERE nonce = %s", (nonce,)).fetchone()[0]

    def books_agree(self):
        """What is settled here is paid there, once; nothing else is."""
        paid = sorted(self.provider.paid)
        self.same("paid twice", len(paid), len(set(paid)))
        settled = self.db.execute(
            "SELECT coalesce(array_agg(encode(memo, 'hex') ORDER BY"
            " encode(memo, 'hex')), '{}') FROM teller.operation"
            " WHERE state = 'settled' OR state = 'conflict'").fetchone()[0]
        self.same("settled, and paid", settled, paid)
        self.same("sound", self.db.execute(
            "SELECT * FROM teller.verify()").fetchall(), [])


# ---- the claims ---------------------------------------------------------

# The provider's word, what becomes of it, and after which attempts.
FAULTS = [
    ("bob", "settled", "execute executed"),
    ("closed", "refunded rejected", "execute rejected"),
    ("lost", "settled", "execute ambiguous, execute executed"),
    ("reset", "settled", "execute ambiguous, execute executed"),
    ("error", "settled", "execute ambiguous, execute executed"),
    ("later", "settled", "execute not_sent, execute executed"),
    ("busy", "settled", "execute busy, execute executed"),
    ("junk", "settled", "execute ambiguous, execute executed"),
    ("slow", "settled", "execute ambiguous, execute executed"),
    ("other", "conflict", "execute conflict"),
]


def every_fault(test):
    for to, _, _ in FAULTS:
        test.pay(to)
    test.start(lease_s=5)
    for to, state, attempts in FAULTS:
        test.becomes(to, state)
        test.same(to, test.attempts(to), attempts)
    test.provider.release()
    test.books_agree()
    test.provider.hold()


def asked_for_in_doubt(test):
    test.pay("deaf")
    test.db.execute("UPDATE teller.operation_data SET attempts = 7"
                    " WHERE nonce = 'deaf'")
    test.start()
    test.becomes("deaf", "settled")
    test.same("attempts", test.attempts("deaf"),
              "execute ambiguous, lookup executed")
    test.books_agree()


def killed_in_call(test, to):
    """The first worker is killed with the request at the provider; the first
    request goes on there when the second has been answered."""
    test.pay(to, timeout="50 s")
    test.start()
    test.until("the call is out", lambda: test.provider.calls_for(to) == 1)
    test.kill_all()
    test.same("claimed", test.row(to), "in_flight")
    test.start()
    test.becomes(to, "settled")
    test.same("attempts", test.attempts(to), "execute lost, execute executed")
    test.provider.release()
    test.books_agree()
    test.provider.hold()


def late_answer(test):
    """Stopped in the call until another worker has done it."""
    test.pay("slow-late", timeout="50 s")
    first = test.start()
    test.until("the call is out",
               lambda: test.provider.calls_for("slow-late") == 1)
    first.send_signal(signal.SIGSTOP)
    test.until("the lease is over",
               lambda: test.row("slow-late", "next_try_at < clock_timestamp()"))
    test.start()
    test.becomes("slow-late", "settled")
    test.provider.release()
    first.send_signal(signal.SIGCONT)
    test.until("the first one tells", lambda: test.db.execute(
        "SELECT count(*) FROM teller.attempt"
        " WHERE outcome = 'lost' AND detail LIKE '%later: executed%'"
    ).fetchone()[0] == 1)
    test.books_agree()
    test.provider.hold()


def told_to_stop(test):
    """It ends after the call, and gives back what it has not begun."""
    names = ["slow-stop", "bob-stop-1", "bob-stop-2"]
    for name in names:
        test.pay(name, timeout="50 s")
    worker = test.start(lease_s=60)
    test.until("the call is out",
               lambda: test.provider.calls_for("slow-stop") == 1)
    test.same("claimed", [test.row(n) for n in names], ["in_flight"] * 3)
    worker.send_signal(signal.SIGTERM)
    test.provider.release()
    test.same("status", worker.wait(PATIENCE_S), 0)
    test.same("states", [test.row(n) for n in names],
              ["settled", "retry_wait", "retry_wait"])
    test.same("clean", test.row("bob-stop-1", "dirty"), False)
    test.start()
    for name in names:
        test.becomes(name, "settled")
    test.books_agree()
    test.provider.hold()


def killed_again_and_again(test):
    """Two workers, one of them killed after some of the payments of each
    round, which are made then: so there is always something to do."""
    kinds = ["bob", "lost", "closed", "error", "reset"]
    names = [f"{kinds[i % 5]}-chaos-{i}" for i in range(32)]
    for some in range(0, len(names), 4):
        while len(test.workers) < 2:
            test.start(batch=4)
        enough = len(test.provider.seen) + random.randint(1, 3)
        for name in names[some:some + 4]:
            test.pay(name)
        test.until("the workers work",
                   lambda: len(test.provider.seen) >= enough)
        worker = test.workers.pop(0)
        worker.kill()
        worker.wait()
    test.start()
    for name in names:
        test.becomes(name, "refunded rejected" if name.startswith("closed")
                     else "settled")
    test.books_agree()


def main():
    test = Test(sys.argv[1], sys.argv[2:])
    test.check("each answer of the provider, and each way of losing it",
               lambda: every_fault(test))
    test.check("in doubt, it asks the provider", lambda: asked_for_in_doubt(test))
    test.check("killed when it was paid and not answered, the next one learns it",
               lambda: killed_in_call(test, "slow-killed"))
    test.check("killed before the provider began, it is paid once",
               lambda: killed_in_call(test, "hang-killed"))
    test.check("who was too slow may still say that it was paid",
               lambda: late_answer(test))
    test.check("SIGTERM ends it after the call and gives back the rest",
               lambda: told_to_stop(test))
    test.check("workers killed again and again pay each payout once",
               lambda: killed_again_and_again(test))
    sys.exit(test.failed)


if __name__ == "__main__":
    main()
