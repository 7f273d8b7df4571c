#!/usr/bin/python3
"""
Many clients on hot accounts and others, cancelled, ended and killed, while
accounts are switched, limited and frozen under them.  Some of what they call
are operations, which a bank beside the server carries out.

Three phases: transactions of one call each, among which a deadlock is a bug;
transactions of all sorts; the same while processes are killed with -9.  After
each: the books by plain SQL, what the clients were told, and whether shared
memory has of each account exactly what the books have.
"""

import argparse
import collections
import os
import random
import signal
import sys
import threading
import time

import psycopg
from psycopg.rows import dict_row

from bank import Bank
from books import BALANCES, complaints
from client import NEVER, Client
from request import ACCOUNTS, BANK, IDS, LEDGER, MIRROR, OPENING, WORLD

HANG_S = 20
FROZEN = (5, 8)  # accounts that the manager freezes
SWITCHED = (5, MIRROR)  # and makes hot, or no longer


class Claims:
    """Prints one line for each claim."""

    def __init__(self):
        self.failed = 0
        self.passed = 0

    def that(self, holds, claim, detail=""):
        if holds:
            self.passed += 1
        else:
            self.failed += 1
        print("%s - %s%s" % ("ok" if holds else "not ok", claim,
                             "" if holds else ": %s" % detail), flush=True)


def figure(name, value):
    print("figure %s = %s" % (name, value), flush=True)


def connect(dsn):
    until = time.monotonic() + 60
    while True:
        try:
            return psycopg.connect(dsn, autocommit=True, row_factory=dict_row)
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            NEVER.wait(0.1)


class Repeater(threading.Thread):
    """Does something again and again, with a connection of its own."""

    def __init__(self, dsn, stop, every_s, seed):
        super().__init__(daemon=True)
        self.dsn = dsn
        self.stop = stop
        self.every_s = every_s
        self.random = random.Random(seed)
        self.done = collections.Counter()
        self.crash = None

    def run(self):
        connection = None
        while not self.stop.is_set():
            try:
                if connection is None or connection.closed:
                    connection = connect(self.dsn)
                self.once(connection)
            except psycopg.Error as error:
                self.done[error.sqlstate or "lost"] += 1
                if (error.sqlstate or "").startswith("XX"):
                    self.crash = error
            except Exception as error:
                self.crash = error
                return
            self.stop.wait(self.every_s)
        if connection is not None:
            connection.close()


class Watcher(Repeater):
    """Looks at the books in one snapshot after another."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.found = collections.OrderedDict()
        self.snapshots = 0

    def once(self, connection):
        with connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            rows = connection.execute(BALANCES).fetchall()
        self.snapshots += 1
        for what, detail in complaints(rows):
            self.found.setdefault(what, detail)


class Manager(Repeater):
    """Switches, limits and freezes accounts."""

    def once(self, connection):
        draw = self.random
        kind = draw.choice(("hot", "hot", "limits", "freeze", "metadata", "prepare"))
        connection.execute("SET statement_timeout = '10s'")
        if kind == "hot":
            connection.execute("SELECT teller.set_hot(1, account_id, NOT hot)"
                               " FROM teller.account WHERE ledger_id = 1 AND account_id = %s",
                               [draw.choice(SWITCHED)])
        elif kind == "limits":
            connection.execute("SELECT teller.set_limits(1, 8, %s, %s)",
                               [draw.choice((0, 10, None)), draw.choice((300, 500, None))])
        elif kind == "freeze":
            account = draw.choice(FROZEN)
            connection.execute("SELECT teller.freeze_account(1, %s, %s)",
                               [account, draw.choice(("debit", "credit", "both"))])
            NEVER.wait(0.02)
            connection.execute("SELECT teller.unfreeze_account(1, %s)", [account])
        elif kind == "metadata":
            connection.execute("SELECT teller.set_metadata(1, 2, '{}')")
        else:
            self.prepare(connection)
        self.done[kind] += 1

    def prepare(self, connection):
        """It must be refused, and take nothing."""
        connection.execute("BEGIN")
        try:
            connection.execute("SELECT * FROM teller.transfer(1, 3, 1, 1000,"
                               " metadata => '{\"tag\": \"prepared\"}')")
            connection.execute("PREPARE TRANSACTION 'hot'")
            connection.execute("COMMIT PREPARED 'hot'")
        except psycopg.errors.FeatureNotSupported:
            connection.execute("ROLLBACK")
            self.done["refused"] += 1
        except psycopg.Error:
            connection.execute("ROLLBACK")
            raise


class Payer(Repeater):
    """Carries operations out."""

    bank = None

    def once(self, connection):
        self.bank.serve(connection, clear=False)
        self.done["claims"] += 1


class Disturber(Repeater):
    """Cancels and ends the clients' statements and sessions."""

    clients = ()

    def once(self, connection):
        pid = self.random.choice(self.clients).pid
        if pid is None:
            return
        how = self.random.choices(("pg_cancel_backend", "pg_terminate_backend"), (5, 1))[0]
        connection.execute("SELECT %s(%d)" % (how, pid))
        self.done[how] += 1


class Killer(Repeater):
    """kill -9: the server restarts, and nobody knows what was in memory."""

    clients = ()

    def once(self, connection):
        worker = connection.execute("SELECT pid FROM pg_stat_activity"
                                    " WHERE backend_type = 'pg_teller worker'").fetchall()
        pids = [client.pid for client in self.clients if client.pid is not None]
        pids += [row["pid"] for row in worker]
        if pids:
            os.kill(self.random.choice(pids), signal.SIGKILL)
            self.done["kill -9"] += 1


class Run:
    def __init__(self, options):
        self.options = options
        self.dsn = "host=%s port=%s user=postgres dbname=hot" % (
            options.socket, options.port)
        self.claims = Claims()
        self.bank = Bank(options.seed)
        self.log = []
        self.errors = collections.Counter()

    def set_up(self):
        with connect(self.dsn.replace("dbname=hot", "dbname=postgres")) as connection:
            connection.execute("CREATE DATABASE hot")
        with connect(self.dsn) as connection:
            connection.execute("CREATE EXTENSION pg_teller")
            connection.execute("SELECT teller.create_ledger(1), teller.create_asset('USD', 0)")
            for number, hot, low, high, reentrancy in ACCOUNTS:
                connection.execute(
                    "SELECT teller.open_account(1, %s, 'USD', min_balance => %s,"
                    " max_balance => %s, reentrancy => %s, hot => %s)",
                    [number, low, high, reentrancy, hot])
            connection.execute("CREATE SERVER %s FOREIGN DATA WRAPPER teller_pull OPTIONS"
                               " (can_lookup 'on', can_fence 'on')" % BANK)
            connection.execute("SELECT teller.set_settlement_account(1, %s, %s)",
                               [BANK, MIRROR])
            for number in IDS:
                if number != WORLD:
                    connection.execute(
                        "SELECT * FROM teller.transfer(1, %s, %s, %s, metadata =>"
                        " '{\"tag\": \"opening\"}')", [WORLD, number, OPENING])

    # ---- a phase ----------------------------------------------------------

    def phase(self, name, seconds, single=False, helpers=()):
        stop = threading.Event()
        seed = "%s-%s" % (self.options.seed, name)
        clients = [Client("%s-%d" % (name, i), seed, self.dsn, single, stop)
                   for i in range(self.options.clients)]
        watcher = Watcher(self.dsn, stop, 0.15, seed)
        others = [kind(self.dsn, stop, every_s, seed) for kind, every_s in helpers]
        for other in others:
            other.clients, other.bank = clients, self.bank
        for thread in clients + [watcher] + others:
            thread.start()
        hung = self.watch(stop, seconds, clients)
        self.join(name, clients, [watcher] + others, hung)
        for other in others:
            figure("%s %s" % (name, type(other).__name__), dict(other.done))
        figure("%s snapshots" % name, watcher.snapshots)
        for what, claim in (
                ("bounds", "no account outside its limits in any snapshot"),
                ("told", "balance() is what the journal comes to in every snapshot"),
                ("zero", "the sum is zero in every snapshot")):
            self.claims.that(what not in watcher.found, "%s: %s" % (name, claim),
                             watcher.found.get(what))

    def watch(self, stop, seconds, clients):
        """Who hangs, if anybody does."""
        until = time.monotonic() + seconds
        hung = None
        while time.monotonic() < until and hung is None:
            NEVER.wait(0.25)
            hung = self.hanging(clients)
        stop.set()
        until = time.monotonic() + HANG_S
        while hung is None and time.monotonic() < until and any(
                client.is_alive() for client in clients):
            NEVER.wait(0.1)
            hung = self.hanging(clients)
        return hung

    def hanging(self, clients):
        now = time.monotonic()
        for client in clients:
            since = client.since
            if since is not None and now - since > HANG_S:
                return "client of pid %s, %s" % (client.pid, self.waiting())
        return None

    def waiting(self):
        """Who waits for whom; those that block without being blocked come first."""
        with connect(self.dsn) as connection:
            rows = connection.execute("""
				SELECT pid, backend_type, state, wait_event, pg_blocking_pids(pid) AS by,
					extract(epoch FROM clock_timestamp() - state_change)::int AS s,
					left(query, 60) AS query
				FROM pg_stat_activity WHERE pid <> pg_backend_pid()
				""").fetchall()
        blockers = {pid for row in rows for pid in row["by"]}
        rows = [row for row in rows if row["by"] or row["pid"] in blockers
                or row["state"] == "active"]
        rows.sort(key=lambda row: (bool(row["by"]), -(row["s"] or 0)))
        return "; ".join("%(pid)s %(backend_type)s %(state)s %(wait_event)s by %(by)s"
                         " %(s)s s: %(query)s" % row for row in rows)

    def join(self, name, clients, others, hung):
        self.claims.that(hung is None, "%s: nobody hangs" % name, hung)
        if hung is not None:
            print("cannot go on", flush=True)
            sys.exit(1)
        for thread in clients + others:
            thread.join(HANG_S)
        crash = [thread.crash for thread in clients + others if thread.crash]
        self.claims.that(not crash, "%s: no error that none should see" % name,
                         crash and repr(crash[0]))
        errors = sum((client.errors for client in clients), collections.Counter())
        longest = max(client.longest for client in clients)
        calls = [call for client in clients for call in client.log]
        figure("%s calls" % name, len(calls))
        figure("%s errors" % name, dict(errors.most_common()))
        figure("%s longest wait" % name, "%.2f s" % longest[0])
        self.errors = errors
        self.log += calls

    # ---- afterwards -------------------------------------------------------

    def quiet(self, connection):
        """Until no hold is open: they have deadlines, or the bank ends them."""
        until = time.monotonic() + 60
        while connection.execute("SELECT count(*) AS n FROM teller.hold"
                                 " WHERE state = 'open'").fetchall()[0]["n"]:
            connection.execute("SELECT teller.expire_due(1000)")
            self.bank.serve(connection, clear=True)
            if time.monotonic() > until:
                return False
            NEVER.wait(0.1)
        return True

    def probe(self, name):
        """
        Shared memory has exactly what the books have: on each account the last
        unit can be had, from either side, and not one more.
        """
        wrong = []
        with connect(self.dsn) as connection:
            self.claims.that(self.quiet(connection),
                             "%s: every hold and every operation ends" % name)
            for account in FROZEN:  # where the manager was disturbed in between
                connection.execute("SELECT teller.unfreeze_account(1, %s) FROM teller.account"
                                   " WHERE account_id = %s AND status LIKE 'frozen%%'",
                                   [account, account])
            for row in connection.execute(BALANCES).fetchall():
                if row["minimum"] is not None:
                    self.edge(connection, row["id"], WORLD,
                              row["posted"] - row["minimum"], row, wrong)
                if row["maximum"] is not None:
                    self.edge(connection, WORLD, row["id"],
                              row["maximum"] - row["posted"], row, wrong)
        self.claims.that(not wrong, "%s: what is left can be had, and no more" % name,
                         "; ".join(wrong))

    def edge(self, connection, debit, credit, room, row, wrong):
        for amount, expected in ((room + 1, "denied"), (room, "posted")):
            if amount <= 0:
                continue
            connection.execute("BEGIN; SET LOCAL lock_timeout = '10s'")
            said = connection.execute(
                "SELECT status FROM teller.transfer(1, %s, %s, %s, on_denial => 'return')",
                [debit, credit, amount]).fetchall()[0]["status"]
            connection.execute("ROLLBACK")
            if said != expected:
                wrong.append("%s of %s, %s to %s: %s" % (amount, row, debit, credit, said))

    def claim_books(self):
        with connect(self.dsn) as connection:
            found = complaints(connection.execute(BALANCES).fetchall())
            self.claims.that(not found, "the books are right at the end", found[:3])
            until = time.monotonic() + 30
            while not self.is_folded(connection) and time.monotonic() < until:
                NEVER.wait(0.1)
            self.claims.that(self.is_folded(connection),
                             "the worker folds everything into the accounts' rows")
            wrong = connection.execute("SELECT f.* FROM (" + BALANCES + ") AS f JOIN"
                                       " teller.account AS a ON a.account_id = f.id"
                                       " WHERE a.posted <> f.posted").fetchall()
            self.claims.that(not wrong, "the accounts' rows are right then", wrong[:3])
            wrong = connection.execute("SELECT * FROM teller.verify()").fetchall()
            self.claims.that(not wrong, "verify() finds nothing", wrong[:3])

    def is_folded(self, connection):
        """No row of the journal is of an epoch that an account's row has not."""
        return connection.execute("""
			SELECT NOT EXISTS (SELECT FROM teller.journal AS j JOIN teller.account AS a
				ON a.ledger_id = j.ledger_id AND a.hot
				AND (a.account_id = j.debit_account AND j.debit_version IS NULL
					AND (j.debit_epoch > coalesce(a.folded_epoch, 0)
						OR j.debit_epoch = ANY (a.open_epochs))
				OR a.account_id = j.credit_account AND j.credit_version IS NULL
					AND (j.credit_epoch > coalesce(a.folded_epoch, 0)
						OR j.credit_epoch = ANY (a.open_epochs)))) AS yes
			""").fetchall()[0]["yes"]

    def claim_told(self):
        """Each client against the journal."""
        with connect(self.dsn) as connection:
            rows = connection.execute(
                "SELECT id, metadata->>'tag' AS tag FROM teller.journal").fetchall()
            holds = {row["hold_id"]: row["state"] for row in connection.execute(
                "SELECT hold_id, state FROM teller.hold").fetchall()}
            operations = {row["nonce"] for row in connection.execute(
                "SELECT nonce FROM teller.operation").fetchall()}
        ids = {row["id"] for row in rows}
        tags = collections.Counter(row["tag"] for row in rows if row["tag"])
        lost, risen, known = [], [], {"opening"}
        for call in self.log:
            known.update(call.tags if call.fate != "undone" else ())
            known.update([call.nonce] if call.fate != "undone" else ())
            if call.fate == "committed":
                lost += [i for i in call.ids if i not in ids]
                lost += [t for t in call.tags if t not in tags]
                if call.kind == "hold" and call.hold and call.hold not in holds:
                    lost.append(call.hold)
                if call.kind == "operation" and call.operation and \
                        call.nonce not in operations:
                    lost.append(call.nonce)
                if call.kind == "release" and call.state == "released" and \
                        holds.get(call.hold) != "released":
                    lost.append("release of %s" % call.hold)
            elif call.fate == "undone":
                risen += [i for i in call.ids if i in ids]
                risen += [t for t in call.tags if t in tags]
                if call.kind == "hold" and call.hold in holds:
                    risen.append(call.hold)
                if call.kind == "operation" and call.nonce in operations:
                    risen.append(call.nonce)
        doubled = [tag for tag, count in tags.items() if count > 1 and tag != "opening"]
        stray = [tag for tag in [*tags, *operations] if tag not in known]
        self.claims.that(not lost, "what was answered and committed is there", lost[:5])
        self.claims.that(not risen, "what was undone is not there", risen[:5])
        self.claims.that(not doubled, "nothing is there twice", doubled[:5])
        self.claims.that(not stray, "nobody's row is there", stray[:5])

    def claim_bank(self):
        """The bank's book against ours."""
        with connect(self.dsn) as connection:
            rows = connection.execute("SELECT encode(memo, 'hex') AS memo, state, reason,"
                                      " direction, amount FROM teller.operation").fetchall()
            mirror = connection.execute("SELECT posted FROM teller.balance(1, %s)",
                                        [MIRROR]).fetchall()[0]["posted"]
        ends = collections.Counter(row["reason"] or row["state"] for row in rows)
        figure("operations", dict(ends))
        settled = {row["memo"]: (row["direction"], row["amount"]) for row in rows
                   if row["state"] == "settled"}
        wrong = set(settled.items()) ^ set(self.bank.paid.items())
        self.claims.that(not wrong, "what is settled here the bank has paid, and nothing else",
                         sorted(wrong)[:3])
        self.claims.that(mirror == self.bank.has_now(),
                         "the settlement account has what the bank has",
                         "%s, and not %s" % (mirror, self.bank.has_now()))

    def run(self):
        options = self.options
        third = options.seconds / 3
        every = options.disturb_ms / 1000
        self.set_up()
        self.phase("single", third, single=True, helpers=[
            (Manager, every), (Payer, every / 2)])
        self.claims.that(self.errors["40P01"] == 0,
                         "single: transactions of one call do not deadlock",
                         "%d did" % self.errors["40P01"])
        self.probe("single")
        self.phase("mixed", third, helpers=[
            (Manager, every), (Payer, every / 2), (Disturber, every / 4)])
        self.probe("mixed")
        if not options.no_crash:
            self.phase("crash", third, helpers=[
                (Manager, every), (Payer, every / 2), (Disturber, every / 2),
                (Killer, max(third / 5, 2))])
            self.probe("crash")
        self.claim_told()
        self.claim_bank()
        self.claim_books()
        print("%d passed, %d failed" % (self.claims.passed, self.claims.failed), flush=True)
        return 1 if self.claims.failed else 0


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--socket", required=True)
    parser.add_argument("--port", required=True)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--clients", type=int, default=64)
    parser.add_argument("--disturb-ms", type=float, default=200)
    parser.add_argument("--no-crash", action="store_true")
    options = parser.parse_args()
    figure("seed", options.seed)
    sys.exit(Run(options).run())


if __name__ == "__main__":
    main()
