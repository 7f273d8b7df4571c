#!/usr/bin/python3
"""Withdrawals through a lossy line while the worker is killed, again and again.

Every client submits its share by nonce and repeats after each lost connection,
and now and then without a reason; nobody asks the bank.  Each customer is
funded with exactly what he withdraws, so one cent held twice would deny a later
withdrawal.
"""

import argparse
import decimal
import os
import random
import signal
import subprocess
import sys
import threading
import time

import psycopg

from books import (
    LEDGER,
    NEVER,
    Claims,
    claim_books_agree,
    connect,
    figure,
    open_operations,
    rows,
    value,
    wait_until,
)

FIRST_CUSTOMER = 101
QUEUE_FULL = "TL011"


class Plan:
    """Who withdraws how much under which nonce; the same for the same seed."""

    def __init__(self, options):
        chance = random.Random(options.seed)
        self.items = [
            (
                FIRST_CUSTOMER + chance.randrange(options.customers),
                decimal.Decimal(chance.randint(1, 10000)) / 100,
                "payout-%d" % number,
            )
            for number in range(options.withdrawals)
        ]
        self.forgotten = [
            chance.random() < options.forget for _ in range(options.withdrawals)
        ]
        self.rate = options.rate
        self.started = time.monotonic()
        self.given = 0
        self.lock = threading.Lock()

    def funds(self):
        needed = {}
        for customer, amount, _ in self.items:
            needed[customer] = needed.get(customer, 0) + amount
        return needed

    def next(self):
        """The next item, not before its time, and whether its answer is
        forgotten once; None at the end."""
        with self.lock:
            number = self.given
            self.given += 1
        if number >= len(self.items):
            return None
        if self.rate:
            NEVER.wait(max(0, self.started + number / self.rate - time.monotonic()))
        return self.items[number], self.forgotten[number]


class Client(threading.Thread):
    """Submits and repeats; keeps every answer."""

    def __init__(self, shop, plan):
        super().__init__(daemon=True)
        self.shop = shop
        self.plan = plan
        self.answers = []
        self.repeats = 0
        self.replays = 0
        self.refusals = 0
        self.error = None

    def run(self):
        try:
            connection = connect(self.shop)
            while (task := self.plan.next()) is not None:
                item, forgotten = task
                connection = self.submit(connection, item)
                if forgotten:
                    self.repeats += 1
                    connection = self.submit(connection, item, again=True)
            connection.close()
        except Exception as error:
            self.error = error

    def submit(self, connection, item, again=False):
        customer, amount, nonce = item
        while True:
            try:
                identity, _, replayed = connection.execute(
                    "SELECT id, state, replayed FROM"
                    " teller.withdraw(%s, %s, 'bank', %s, 'savings', %s)",
                    (LEDGER, customer, amount, nonce),
                ).fetchone()
            except psycopg.OperationalError:
                # The server went: whether it took the withdrawal is not known.
                connection.close()
                connection = connect(self.shop)
                self.repeats += 1
            except psycopg.Error as error:
                if error.sqlstate != QUEUE_FULL:
                    raise
                self.refusals += 1
                NEVER.wait(0.05)
            else:
                if again and not replayed:
                    raise RuntimeError("%s was not replayed" % nonce)
                self.answers.append((nonce, identity))
                self.replays += replayed
                return connection


class Killer(threading.Thread):
    """Ends the worker at intervals; every so often with SIGKILL."""

    def __init__(self, shop, every_s, hard_every):
        super().__init__(daemon=True)
        self.shop = shop
        self.every_s = every_s
        self.hard_every = hard_every
        self.terminated = 0
        self.killed = 0
        self.over = threading.Event()

    def run(self):
        last = None
        while not self.over.wait(self.every_s):
            last = self.strike(last)

    def strike(self, last):
        """Wait for a worker that was not struck yet, and end it."""
        while not self.over.is_set():
            try:
                found = rows(
                    self.shop,
                    "SELECT pid FROM pg_stat_activity WHERE datname = 'shop'"
                    " AND backend_type = 'pg_teller worker'",
                )
                if found and found[0][0] != last:
                    return self.end(found[0][0])
            except psycopg.OperationalError:
                pass
            self.over.wait(0.02)
        return last

    def end(self, pid):
        number = self.terminated + self.killed + 1
        if number % self.hard_every == 0:
            self.killed += 1
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        else:
            value(self.shop, "SELECT pg_terminate_backend(%s)", (pid,))
            self.terminated += 1
        return pid


def fund(shop, plan, customers):
    with connect(shop) as connection, connection.transaction():
        for customer in range(FIRST_CUSTOMER, FIRST_CUSTOMER + customers):
            connection.execute(
                "SELECT teller.open_account(%s, %s, 'USD', %s)",
                (LEDGER, customer, "customer-%d" % customer),
            )
        for customer, amount in sorted(plan.funds().items()):
            connection.execute(
                "SELECT * FROM teller.transfer(%s, 1, %s, %s, key => %s)",
                (LEDGER, customer, amount, "fund-%d" % customer),
            )


def start_line(options):
    here = os.path.dirname(os.path.abspath(__file__))
    line = subprocess.Popen(
        [
            sys.executable,
            os.path.join(here, "lossy_line.py"),
            "--listen", options.line,
            "--to", options.bank_socket,
            "--port", str(options.port),
            "--lose", str(options.lose),
            "--delay", str(options.delay),
            "--seed", str(options.seed),
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    path = os.path.join(options.line, ".s.PGSQL.%d" % options.port)
    if not wait_until(lambda: os.path.exists(path), 30, 0.05):
        sys.exit("the line to the bank did not open")
    return line


def stop_line(line):
    """How many calls there were, and how many replies were lost."""
    line.terminate()
    words = line.communicate(timeout=60)[0].split()
    return int(words[1]), int(words[3])


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--shop-socket", required=True)
    parser.add_argument("--bank-socket", required=True)
    parser.add_argument("--line", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--withdrawals", type=int, default=10000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--customers", type=int, default=100)
    parser.add_argument("--lose", type=float, default=0.05)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--kill-every", type=float, default=2.0)
    parser.add_argument("--hard-every", type=int, default=10)
    parser.add_argument("--rate", type=float, default=100.0)
    parser.add_argument("--forget", type=float, default=0.02)
    parser.add_argument("--min-hard-kills", type=int, default=1)
    parser.add_argument("--deadline", type=float, default=1800.0)
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def run_clients(options, shop, plan, killer):
    """All submitted and all ended, or the deadline; the clients, and whether."""
    until = time.monotonic() + options.deadline
    clients = [Client(shop, plan) for _ in range(options.clients)]
    plan.started = time.monotonic()
    for client in clients:
        client.start()
    killer.start()
    for client in clients:
        client.join(max(0, until - time.monotonic()))
    ended = wait_until(
        lambda: open_operations(shop) == 0, max(1, until - time.monotonic())
    )
    killer.over.set()
    killer.join(60)
    return clients, ended


def report(options, clients, killer, seconds, line, shop):
    calls, lost = line
    attempts = value(shop, "SELECT count(*) FROM teller.attempt")
    for name, number in (
        ("withdrawals", options.withdrawals),
        ("clients", options.clients),
        ("seconds", round(seconds, 1)),
        ("settled per second", round(options.withdrawals / seconds, 1)),
        ("worker terminated", killer.terminated),
        ("worker killed with -9, server restarted", killer.killed),
        ("calls that the bank answered", calls),
        ("replies lost after executing", lost),
        ("attempts per operation", round(attempts / options.withdrawals, 3)),
        ("submits repeated", sum(c.repeats for c in clients)),
        ("of these replayed", sum(c.replays for c in clients)),
        ("submits refused as the queue was full", sum(c.refusals for c in clients)),
    ):
        figure(name, number)


def main():
    options = parse()
    shop = "host=%s port=%d user=postgres dbname=shop" % (
        options.shop_socket, options.port)
    bank = "host=%s port=%d user=postgres dbname=bank" % (
        options.bank_socket, options.port)
    claims = Claims()
    plan = Plan(options)
    fund(shop, plan, options.customers)
    line = start_line(options)
    killer = Killer(shop, options.kill_every, options.hard_every)

    started = time.monotonic()
    clients, ended = run_clients(options, shop, plan, killer)
    seconds = time.monotonic() - started
    calls, lost = stop_line(line)

    errors = [str(client.error) for client in clients if client.error]
    claims.that(not errors, "no client saw an error but a lost connection",
                "; ".join(errors))
    claims.that(ended, "every operation ended before the deadline",
                "" if ended else "%s have not" % open_operations(shop))
    answers = {answer for client in clients for answer in client.answers}
    claims.that(
        sorted(answers)
        == sorted(rows(shop, "SELECT nonce, id FROM teller.operation")),
        "every withdrawal was accepted, always under one id",
        "%d" % len(answers),
    )
    claim_books_agree(claims, shop, bank, options.withdrawals)
    left = value(
        shop,
        "SELECT coalesce(sum(abs(posted) + pending_debit), 0)"
        " FROM teller.account_balance WHERE account_id >= %s",
        (FIRST_CUSTOMER,),
    )
    claims.that(left == 0, "every customer has exactly nothing left", str(left))
    claims.that(
        lost > 0 and killer.killed >= options.min_hard_kills,
        "the faults did happen",
        "%d replies lost, %d terminated, %d killed"
        % (lost, killer.terminated, killer.killed),
    )
    report(options, clients, killer, seconds, (calls, lost), shop)
    claims.end()


if __name__ == "__main__":
    main()
