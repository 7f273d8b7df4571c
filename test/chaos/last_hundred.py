#!/usr/bin/python3
"""Two sessions take the same last 100 at once, round after round."""

import argparse
import threading
import time

import psycopg

from books import (
    LEDGER,
    Claims,
    claim_books_agree,
    connect,
    figure,
    open_operations,
    rows,
    value,
    wait_until,
)

ALICE = 101
SHARED = 102
INSUFFICIENT_FUNDS = "TL001"

WITHDRAW = (
    "SELECT id FROM teller.withdraw(%(ledger)s, %(account)s, 'bank', 100,"
    " 'savings', %(name)s)"
)
TRANSFER = (
    "SELECT id FROM teller.transfer(%(ledger)s, %(account)s, 1, 100,"
    " key => %(name)s)"
)


class Session(threading.Thread):
    """One of the two; takes part in every round."""

    def __init__(self, shop, name, rounds, barrier, sql, account):
        super().__init__(daemon=True)
        self.connection = connect(shop)
        self.tag = name
        self.rounds = rounds
        self.barrier = barrier
        self.sql = sql
        self.account = account
        self.won = []
        self.times = []
        self.errors = []

    def run(self):
        for number in range(self.rounds):
            self.barrier.wait()
            self.won.append(self.take(number))
            self.barrier.wait()

    def take(self, number):
        started = time.monotonic()
        try:
            self.connection.execute(
                self.sql,
                {
                    "ledger": LEDGER,
                    "account": self.account,
                    "name": "%s-%d" % (self.tag, number),
                },
            )
            return True
        except psycopg.Error as error:
            if error.sqlstate != INSUFFICIENT_FUNDS:
                self.errors.append(str(error))
            return False
        finally:
            self.times.append((started, time.monotonic()))


def play(shop, rounds, what, sql, account, claims):
    """`rounds` rounds; before each, the account has exactly 100 available."""
    barrier = threading.Barrier(3)
    pair = [
        Session(shop, "%s-%s" % (what, name), rounds, barrier, sql, account)
        for name in ("left", "right")
    ]
    for session in pair:
        session.start()
    with connect(shop) as connection:
        for number in range(rounds):
            connection.execute(
                "SELECT * FROM teller.transfer(%s, 1, %s, 100, key => %s)",
                (LEDGER, account, "fund-%s-%d" % (what, number)),
            )
            barrier.wait()
            barrier.wait()
    for session in pair:
        session.join(60)
    left, right = pair
    wins = [a + b for a, b in zip(left.won, right.won)]
    claims.that(
        not left.errors and not right.errors,
        "%s: who loses is told insufficient_funds and nothing else" % what,
        "; ".join((left.errors + right.errors)[:3]),
    )
    claims.that(
        wins == [1] * rounds,
        "%s: exactly one of two succeeds, %d times" % (what, rounds),
        "%d succeeded" % sum(wins),
    )
    together = sum(
        a[0] < b[1] and b[0] < a[1] for a, b in zip(left.times, right.times)
    )
    claims.that(
        together > rounds // 2,
        "%s: the two were under way at once in most rounds" % what,
        "%d of %d" % (together, rounds),
    )
    figure("%s won by the one and by the other" % what,
           "%d and %d" % (sum(left.won), sum(right.won)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--rounds", type=int, default=1000)
    options = parser.parse_args()
    shop = "host=%s port=%d user=postgres dbname=shop" % (
        options.socket, options.port)
    bank = "host=%s port=%d user=postgres dbname=bank" % (
        options.socket, options.port)
    claims = Claims()
    for account, name in ((ALICE, "alice"), (SHARED, "shared")):
        rows(shop, "SELECT teller.open_account(%s, %s, 'USD', %s)",
             (LEDGER, account, name))

    started = time.monotonic()
    play(shop, options.rounds, "withdraw", WITHDRAW, ALICE, claims)
    play(shop, options.rounds, "transfer", TRANSFER, SHARED, claims)
    figure("seconds", round(time.monotonic() - started, 1))

    claims.that(
        wait_until(lambda: open_operations(shop) == 0, 300),
        "every withdrawal ended",
    )
    claim_books_agree(claims, shop, bank, options.rounds)
    for account, name in ((ALICE, "alice"), (SHARED, "shared")):
        posted = value(shop, "SELECT posted FROM teller.balance(%s, %s)",
                       (LEDGER, account))
        claims.that(posted == 0, "%s has nothing left" % name, str(posted))
    claims.end()


if __name__ == "__main__":
    main()
