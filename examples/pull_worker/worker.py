#!/usr/bin/python3
"""A worker for a server of wrapper teller_pull, complete: claim, carry out,
tell.  For psycopg 3.

    PGDATABASE=shop PGUSER=payout_worker worker.py card https://api... KEY

Run as many as you like; each operation is given to one of them.  It may be
killed at any moment: what it has claimed is claimed again when the lease is
over, under the same memo.  SIGTERM ends it after the call that is on its way,
and gives back what it has not begun.
"""

import argparse
import pathlib
import random
import signal
import sys
import time

import psycopg
from psycopg.rows import namedtuple_row

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
from pull_provider import Provider  # noqa: E402

CLAIM = "SELECT * FROM teller.claim(%s, %s, %s * interval '1 s')"
EXTEND = "SELECT teller.extend_lease(%s, %s, %s, %s * interval '1 s')"
RELEASE = "SELECT teller.release_claim(%s, %s, %s, false)"
COMPLETE = """SELECT teller.complete(%s, %s, %s, %s, %s, reference => %s,
    reason => %s, amount => %s, asset => %s)"""

# Nothing has happened, and the same may be tried again.
TRY_AGAIN = ("40001", "40P01", "55P03")
LONGEST_PAUSE_S = 10


def say(*words):
    print(*words, file=sys.stderr, flush=True)


class Worker:
    def __init__(self, options):
        self.options = options
        self.provider = Provider(options.url, options.key)
        self.connection = None
        self.stopping = False
        signal.signal(signal.SIGTERM, self.stop)
        signal.signal(signal.SIGINT, self.stop)

    def stop(self, *_):
        self.stopping = True

    # ---- the database ---------------------------------------------------

    def run(self, sql, *values):
        """One statement in a transaction of its own: when this returns, it
        is committed.  If it raises and the connection is gone, nobody
        knows."""
        if self.connection is None or self.connection.closed:
            self.connection = psycopg.connect(row_factory=namedtuple_row,
                                              autocommit=True)
        return self.connection.execute(sql, values).fetchall()

    def insist(self, sql, *values):
        """The same, until it is known to have happened: for what may be
        repeated.  False if it is refused, which repeating does not help."""
        tries = 0
        while True:
            try:
                self.run(sql, *values)
                return True
            except psycopg.Error as error:
                lost = self.connection is None or self.connection.closed
                if not lost and error.sqlstate not in TRY_AGAIN:
                    say("refused:", error)
                    return False
                say("again:", error)
            tries += 1
            time.sleep(random.uniform(0, min(0.1 * 2 ** tries,
                                             LONGEST_PAUSE_S)))

    # ---- one operation --------------------------------------------------

    def carry_out(self, claim):
        """The lease has to last for the whole call.  Who has lost it sends
        nothing: somebody else may be sending by now."""
        token = (claim.ledger_id, claim.id, claim.token)
        if not self.insist(EXTEND, *token, self.options.lease):
            say("lost", claim.id, claim.token)
            return
        answer = self.provider(claim.request)
        say(claim.request["verb"], claim.id, claim.token, answer.status,
            answer.reason or "")
        if answer.status == "not_sent":
            self.insist(RELEASE, *token)
        else:
            # Executed counts with an old token too: it is always told.
            self.insist(COMPLETE, *token, claim.memo, *answer)

    def take_turn(self):
        """Claim, then carry out.  False if there was nothing to do."""
        claims = self.run(CLAIM, self.options.server, self.options.batch,
                          self.options.lease)
        # The claim is committed: now, and not before, something may be sent.
        for claim in claims:
            if self.stopping:
                self.insist(RELEASE, claim.ledger_id, claim.id, claim.token)
            else:
                self.carry_out(claim)
        return bool(claims)

    def work(self):
        pause_s = 0.1
        while not self.stopping:
            try:
                busy = self.take_turn()
                pause_s = 0.1
            except psycopg.Error as error:
                # A claim whose COMMIT was not answered may have been made.
                # We do not know of what, so its lease has to run out.
                say("cannot claim:", error)
                busy = False
                pause_s = min(pause_s * 2, LONGEST_PAUSE_S)
            if not busy and not self.stopping:
                time.sleep(max(pause_s, self.options.idle))


def main():
    parser = argparse.ArgumentParser(description="carry out claimed payments")
    parser.add_argument("server", help="the teller_pull server")
    parser.add_argument("url", help="where the provider is")
    parser.add_argument("key", help="of the provider's API")
    parser.add_argument("--lease", type=int, default=120, metavar="S",
                        help="longer than any call can take")
    parser.add_argument("--batch", type=int, default=10, metavar="N",
                        help="operations claimed at once")
    parser.add_argument("--idle", type=float, default=1.0, metavar="S",
                        help="between two looks when there is nothing to do")
    Worker(parser.parse_args()).work()


if __name__ == "__main__":
    main()
