#!/usr/bin/python3
"""Does the feed show every committed row exactly once?

Writers commit transactions of all lengths, in an order that is not that of
their ids, and roll others back, with savepoints in between.  Readers follow
the feed meanwhile, in pages of random size, at every isolation level.

With --plant the readers go by the id of the rows alone, as one would without
teller.journal_since.  They must lose rows, or this test proves nothing.
"""

import argparse
import random
import sys
import threading
import time

import psycopg

LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
NEVER = threading.Event()  # nobody sets it: waiting on it is a pause

BY_FEED = "SELECT id, cursor FROM teller.journal_since(%s, %s, %s)"
BY_ID = ("SELECT m.id, m.id::text FROM teller.movement AS m"
         " WHERE m.ledger_id = %s AND m.id > coalesce(%s, '00000000-0000-0000-0000-000000000000')::uuid"
         " ORDER BY m.id LIMIT %s")


def connect():
    return psycopg.connect("", autocommit=True)


class Worker(threading.Thread):
    """A thread with a connection and a random sequence of its own."""

    def __init__(self, run, number):
        super().__init__(daemon=True)
        self.run_of = run
        self.number = number
        self.ledger = run.ledger
        self.random = random.Random(f"{run.seed}/{type(self).__name__}/{number}")
        self.error = None

    def run(self):
        try:
            with connect() as connection:
                self.work(connection)
        except Exception as error:  # told by the main thread
            self.error = error


class Writer(Worker):
    """Transactions of one to twenty calls, some of them slow, some undone."""

    def work(self, connection):
        while not self.run_of.writers_stop.is_set():
            self.transaction(connection)

    def transaction(self, connection):
        slow = self.random.random() < 0.2
        with connection.transaction() as outer:
            if self.random.random() < 0.3:
                connection.execute("SELECT pg_current_xact_id()")
                self.pause(slow)
            for _ in range(self.random.choice((1, 1, 1, 2, 5, 20))):
                with connection.transaction() as inner:
                    self.call(connection)
                    if self.random.random() < 0.1:
                        raise psycopg.Rollback(inner)
                self.pause(slow)
            if self.random.random() < 0.15:
                raise psycopg.Rollback(outer)

    def pause(self, slow):
        if slow:
            NEVER.wait(self.random.random() * 0.1)

    def call(self, connection):
        # Two accounts of its own: nobody waits for a slow one.
        debit, credit = self.random.sample((2 * self.number + 1, 2 * self.number + 2), 2)
        if self.random.random() < 0.8:
            connection.execute("SELECT FROM teller.transfer(%s, %s, %s, 1)",
                               (self.ledger, debit, credit))
        else:
            connection.execute(
                "SELECT FROM teller.post(%s, array_fill(%s::bigint, '{5}'),"
                " array_fill(%s::bigint, '{5}'), array_fill(1::numeric, '{5}'))",
                (self.ledger, debit, credit))


class Reader(Worker):
    """Follows from the beginning until the writers are gone and all is read."""

    def __init__(self, run, number):
        super().__init__(run, number)
        self.seen = []
        self.pages = 0
        self.place = None

    def work(self, connection):
        while not self.run_of.writers_gone.is_set():
            if not self.page(connection):
                NEVER.wait(0.005)
        self.settle(connection)
        while self.page(connection):
            pass

    def page(self, connection):
        connection.execute("BEGIN ISOLATION LEVEL " + self.random.choice(LEVELS))
        rows = connection.execute(
            BY_ID if self.run_of.plant else BY_FEED,
            (self.ledger, self.place, self.random.choice((1, 7, 100, 1000)))
        ).fetchall()
        connection.execute("COMMIT")
        if rows:
            self.place = rows[-1][1]
        self.seen.extend(row[0] for row in rows)
        self.pages += 1
        return rows

    @staticmethod
    def settle(connection):
        """Until nothing that runs now keeps the feed back."""
        until = connection.execute(
            "SELECT pg_snapshot_xmax(pg_current_snapshot())::text::bigint").fetchone()[0]
        while connection.execute(
                "SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
        ).fetchone()[0] < until:
            NEVER.wait(0.01)


class Run:
    """One ledger, its writers and its readers."""

    def __init__(self, options):
        self.seed = options.seed
        self.plant = options.plant
        self.seconds = options.seconds
        self.ledger = 3_000_000_000 + time.time_ns() // 1000 % 1_000_000_000
        self.writers_stop = threading.Event()
        self.writers_gone = threading.Event()
        self.writers = [Writer(self, i) for i in range(options.writers)]
        self.readers = [Reader(self, i) for i in range(options.readers)]

    def open_books(self):
        with connect() as connection:
            connection.execute("SELECT teller.create_ledger(%s)", (self.ledger,))
            connection.execute("SELECT teller.create_asset('USD', 2)")
            for account in range(1, 2 * len(self.writers) + 1):
                connection.execute(
                    "SELECT teller.open_account(%s, %s, 'USD', min_balance => NULL)",
                    (self.ledger, account))

    def go(self):
        for worker in self.readers + self.writers:
            worker.start()
        NEVER.wait(self.seconds)
        self.writers_stop.set()
        for writer in self.writers:
            writer.join()
        self.writers_gone.set()
        for reader in self.readers:
            reader.join()

    def committed(self):
        """The ids in the journal."""
        with connect() as connection:
            return {row[0] for row in connection.execute(
                "SELECT id FROM teller.journal WHERE ledger_id = %s", (self.ledger,))}

    def violations(self):
        with connect() as connection:
            return connection.execute("SELECT * FROM teller.verify(%s)",
                                      (self.ledger,)).fetchall()


class Claims:
    """ok and not ok lines."""

    def __init__(self):
        self.failed = False

    def claim(self, holds, text):
        print(("ok - " if holds else "not ok - ") + text, flush=True)
        self.failed = self.failed or not holds


def judge(run, claims):
    committed = run.committed()
    errors = [worker.error for worker in run.readers + run.writers if worker.error]
    claims.claim(not errors, f"no session fails {errors or ''}")
    claims.claim(len(committed) > 200,
                 f"there is something to read: {len(committed)} rows")
    lost = sum(len(committed - set(reader.seen)) for reader in run.readers)
    if run.plant:
        claims.claim(lost > 0, f"readers that go by id alone lose rows: {lost}")
        return
    claims.claim(lost == 0, f"no committed row is skipped: {lost}")
    claims.claim(all(len(reader.seen) == len(set(reader.seen)) for reader in run.readers),
                 "no row comes twice")
    claims.claim(all(set(reader.seen) <= committed for reader in run.readers),
                 "no row comes that was rolled back")
    claims.claim(all(reader.seen == run.readers[0].seen for reader in run.readers),
                 "all readers see the same order")
    claims.claim(min(reader.pages for reader in run.readers) > 20,
                 "the readers were at work meanwhile: "
                 + ", ".join(f"{reader.pages} pages" for reader in run.readers))
    violations = run.violations()
    claims.claim(not violations, f"verify() finds nothing {violations or ''}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=time.time_ns() % 1_000_000)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--writers", type=int, default=8)
    parser.add_argument("--readers", type=int, default=2)
    parser.add_argument("--plant", action="store_true")
    run = Run(parser.parse_args())
    print(f"# seed {run.seed}", flush=True)
    run.open_books()
    run.go()
    claims = Claims()
    judge(run, claims)
    return 1 if claims.failed else 0


if __name__ == "__main__":
    sys.exit(main())
