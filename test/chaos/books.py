"""What the chaos runs have in common: connections, claims and the two books."""

import sys
import threading
import time

import psycopg

LEDGER = 1
NEVER = threading.Event()  # nobody sets it: waiting on it is a pause


class Claims:
    """Prints one line for each claim and remembers whether all held."""

    def __init__(self):
        self.failed = 0

    def that(self, holds, claim, detail=""):
        if not holds:
            self.failed += 1
        print(
            "%s - %s%s"
            % ("ok" if holds else "not ok", claim, ": %s" % detail if detail else ""),
            flush=True,
        )

    def end(self):
        sys.exit(1 if self.failed else 0)


def figure(name, value):
    print("figure %s = %s" % (name, value), flush=True)


def connect(dsn, deadline_s=60):
    """A connection in autocommit mode, as soon as the server takes one."""
    until = time.monotonic() + deadline_s
    while True:
        try:
            return psycopg.connect(dsn, autocommit=True)
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            NEVER.wait(0.05)


def rows(dsn, sql, parameters=None):
    with connect(dsn) as connection:
        return connection.execute(sql, parameters).fetchall()


def value(dsn, sql, parameters=None):
    return rows(dsn, sql, parameters)[0][0]


def wait_until(condition, deadline_s, every_s=0.5):
    """Poll; True as soon as the condition holds, False at the deadline."""
    until = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > until:
            return False
        NEVER.wait(every_s)
    return True


def open_operations(dsn):
    """How many operations have not ended; None while the server is away."""
    try:
        return value(
            dsn,
            "SELECT count(*) FROM teller.operation"
            " WHERE state NOT IN ('settled', 'refunded')",
        )
    except psycopg.OperationalError:
        return None


def claim_books_agree(claims, shop, bank, expected):
    """
    Both books say the same of every withdrawal: `expected` of them, by memo,
    with the same amounts; nothing is held; both ledgers verify.
    """
    states = rows(
        shop,
        "SELECT state, count(*) FROM teller.operation GROUP BY state ORDER BY state",
    )
    claims.that(
        states == [("settled", expected)],
        "all %d operations are settled" % expected,
        "" if states == [("settled", expected)] else str(states),
    )
    ours = rows(
        shop,
        "SELECT encode(memo, 'hex'), amount FROM teller.operation"
        " WHERE state = 'settled' ORDER BY 1",
    )
    theirs = rows(
        bank,
        "SELECT encode(memo, 'hex'), amount FROM teller.memo"
        " WHERE status = 'executed' ORDER BY 1",
    )
    claims.that(
        ours == theirs,
        "the bank executed the same memos with the same amounts",
        "%d here, %d there" % (len(ours), len(theirs)),
    )
    moved = rows(
        bank,
        "SELECT count(*), coalesce(sum(amount), 0) FROM teller.movement"
        " WHERE debit_account = 2 AND credit_account = 3",
    )[0]
    claims.that(
        moved == (expected, sum(amount for _, amount in ours)),
        "the bank moved money once for each",
        "%d movements, %s in all" % moved,
    )
    savings = value(bank, "SELECT posted FROM teller.balance(1, 3)")
    mirror = value(shop, "SELECT posted FROM teller.balance(1, 2)")
    claims.that(
        savings == mirror,
        "the mirror of the bank here equals what arrived there",
        "%s and %s" % (mirror, savings),
    )
    held = value(shop, "SELECT count(*) FROM teller.open_hold")
    claims.that(held == 0, "no money is held any more", "%d holds" % held)
    for name, dsn in (("the shop", shop), ("the bank", bank)):
        found = rows(dsn, "SELECT * FROM teller.verify()")
        claims.that(
            not found,
            "verify() finds nothing in %s" % name,
            "" if not found else str(found[:5]),
        )
