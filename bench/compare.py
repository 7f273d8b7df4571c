#!/usr/bin/python3
"""Runs the contenders in rounds, in random order, and prints medians and ratios.

What is measured is in contenders.py.  Names of groups and numbers of target
rows choose among them; the last lines are the targets that were measured.

Server CPU is the user and system time of the postmaster and of all its
children, those that ended included, so it counts background processes too.
"""

import argparse
import os
import platform
import random
import re
import statistics
import subprocess
import sys
import threading
import time

import psycopg

import app_worker
import contenders

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
NEVER = threading.Event()

HERE = os.path.dirname(os.path.abspath(__file__))
COLUMNS = "%-42s %22s %7s  %22s %7s"


def times_of(pid):
    """utime, stime, cutime and cstime of a process, and its parent."""
    with open("/proc/%d/stat" % pid, "rb") as stat:
        fields = stat.read().rpartition(b") ")[2].split()
    return int(fields[1]), [int(field) for field in fields[11:15]]


def children_ticks(postmaster):
    ticks = 0
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != postmaster:
            try:
                parent, times = times_of(int(name))
            except (OSError, IndexError):
                continue
            if parent == postmaster:
                ticks += sum(times)
    return ticks


def server_cpu_s(postmaster):
    """What the server has used so far: its own time and its children's.

    The time of a child that ends moves to the postmaster.  If one did so
    between the two readings it would be missed or counted twice, so both are
    read again: after a run of pgbench its backends are just ending."""
    while True:
        own = times_of(postmaster)[1]
        ticks = sum(own) + children_ticks(postmaster)
        if times_of(postmaster)[1][2:] == own[2:]:
            return ticks * TICK_S


def settled_so_far(connection):
    return connection.execute(
        "SELECT settled FROM teller.worker_status WHERE database = 'shop'"
    ).fetchone()[0]


class Bench:
    def __init__(self, options, groups):
        self.options = options
        self.groups = groups
        self.results = {}
        self.calls_made = {}
        self.load_before = os.getloadavg()[0]
        with open(os.path.join(options.data, "postmaster.pid")) as file:
            self.postmaster = int(file.readline())

    def dsn(self, database, user="postgres"):
        return "host=%s port=%d user=%s dbname=%s" % (
            self.options.socket, self.options.port, user, database)

    def pgbench(self, script, database, arguments, clients, commit="on",
                user="postgres"):
        """tps and transactions as pgbench counts them."""
        environment = dict(os.environ)
        environment["PGOPTIONS"] = "-c synchronous_commit=%s" % commit
        done = subprocess.run(
            [
                os.path.join(self.options.bin, "pgbench"), "-n", "-M", "prepared",
                "-h", self.options.socket, "-p", str(self.options.port),
                "-U", user, "-c", str(clients), "-j", "2",
                "-D", "accounts=%d" % self.options.accounts,
                "-D", "clients=%d" % clients,
                *("-D%s=%s" % pair for pair in contenders.VARIABLES.items()),
                "-f", os.path.join(HERE, "scripts", script + ".sql"),
                *arguments, database,
            ],
            env=environment, capture_output=True, text=True,
        )
        tps = re.search(r"tps = ([0-9.]+) \(without", done.stdout)
        number = re.search(r"actually processed: (\d+)", done.stdout)
        if done.returncode != 0 or not tps or "aborted" in done.stderr:
            raise RuntimeError("%s: %s" % (script, done.stderr.strip()[-500:]))
        return float(tps.group(1)), int(number.group(1))

    def note(self, contender, commit, rate, cpu_ms):
        self.results.setdefault((contender, commit), []).append((rate, cpu_ms))

    def set_up(self):
        """Each file once: groups may share one."""
        for file in dict.fromkeys(group.setup for group in self.groups.values()):
            print("making %d rows: %s" % (self.options.accounts, file),
                  file=sys.stderr, flush=True)
            subprocess.run(
                [
                    os.path.join(self.options.bin, "psql"), "-X", "-q",
                    "-v", "ON_ERROR_STOP=1",
                    "-v", "accounts=%d" % self.options.accounts,
                    "-f", os.path.join(HERE, file), self.dsn("shop"),
                ],
                check=True, stdout=subprocess.DEVNULL,
            )

    def call(self, contender, commit):
        before = server_cpu_s(self.postmaster)
        tps, number = self.pgbench(
            contender, "shop", ["-T", str(self.options.seconds)],
            self.options.clients, commit)
        cpu = server_cpu_s(self.postmaster) - before
        self.note(contender, commit, tps, cpu * 1000 / max(number, 1))
        self.calls_made[contender] = self.calls_made.get(contender, 0) + number

    def settle(self, contender):
        number = self.options.settle
        before = server_cpu_s(self.postmaster)
        if contender == "direct":
            seconds = self.timed(lambda: self.pgbench(
                "execute", "bank", ["-t", str(number // 16)], 16, user="shop"))
            number = number // 16 * 16
        elif contender == "app":
            seconds = app_worker.measure(
                self.dsn("shop"), self.dsn("bank", "shop"), number,
                lambda: self.pgbench(
                    "submit", "shop", ["-t", str(number // 8)], 8))
        else:
            seconds = self.timed(self.withdraw_and_wait)
        cpu = server_cpu_s(self.postmaster) - before
        self.note(contender, "on", number / seconds, cpu * 1000 / number)

    @staticmethod
    def timed(what):
        started = time.monotonic()
        what()
        return time.monotonic() - started

    def withdraw_and_wait(self):
        """8 clients submit; over when the worker has settled as many more.
        Its counter is in shared memory: looking at it costs the run nothing."""
        until = time.monotonic() + 600
        with psycopg.connect(self.dsn("shop"), autocommit=True) as connection:
            wanted = settled_so_far(connection) + self.options.settle // 8 * 8
            self.pgbench(
                "withdraw", "shop", ["-t", str(self.options.settle // 8)], 8)
            while settled_so_far(connection) < wanted:
                if time.monotonic() > until:
                    raise RuntimeError("the withdrawals do not end")
                NEVER.wait(0.01)

    def run(self):
        jobs = []
        for group in self.groups.values():
            for contender in group.contenders:
                if group.settles:
                    jobs.append((self.settle, (contender.name,)))
                else:
                    jobs += [(self.call, (contender.name, commit))
                             for commit in ("on", "off")]
        chance = random.Random(self.options.seed)
        for number in range(self.options.rounds):
            chance.shuffle(jobs)
            for what, arguments in jobs:
                what(*arguments)
            print("round %d of %d" % (number + 1, self.options.rounds),
                  file=sys.stderr, flush=True)

    # -----------------------------------------------------------------------

    def median(self, contender, commit, which):
        return statistics.median(
            result[which] for result in self.results[contender, commit])

    def spread(self, contender, commit):
        rates = [result[0] for result in self.results[contender, commit]]
        return "%.0f (%.0f to %.0f)" % (
            statistics.median(rates), min(rates), max(rates))

    def ratio(self, one, other, commit, which):
        """The median of the ratios within each round would be another number;
        this is the ratio of the medians."""
        return (self.median(one, commit, which)
                / max(self.median(other, commit, which), 1e-9))

    def table(self):
        options = self.options
        with psycopg.connect(self.dsn("shop")) as connection:
            version = connection.execute("SHOW server_version").fetchone()[0]
        lines = [
            "pg_teller bench, %s" % time.strftime("%Y-%m-%d"),
            "PostgreSQL %s, %d CPUs, %s, psycopg %s (%s)" % (
                version, os.cpu_count(), platform.machine(),
                psycopg.__version__, psycopg.pq.__impl__),
            "%d rounds of %d s, %d clients, pgbench -M prepared, fsync on, "
            "%d accounts or rows" % (options.rounds, options.seconds,
                                     options.clients, options.accounts),
            "medians (lowest to highest); CPU is the server's, in ms for each "
            "transaction",
            "load of the machine before: %.1f" % self.load_before,
        ]
        for group in self.groups.values():
            if group.settles:
                lines += self.table_of_settling(group)
            else:
                lines += self.table_of_calls(group)
        return lines

    def table_of_calls(self, group):
        lines = ["", COLUMNS % ("", "tps, commit on", "CPU",
                                "tps, commit off", "CPU")]
        for name, title in group.contenders:
            lines.append("%-42s %22s %7.3f  %22s %7.3f" % (
                title,
                self.spread(name, "on"), self.median(name, "on", 1),
                self.spread(name, "off"), self.median(name, "off", 1)))
        lines += ["", COLUMNS % ("ratios", "tps", "CPU", "tps", "CPU")]
        for figure in self.figures(group):
            one, other = figure.one, figure.other
            lines.append("%-42s %22.2f %7.2f  %22.2f %7.2f" % (
                "%s / %s" % (one, other),
                self.ratio(one, other, "on", 0), self.ratio(one, other, "on", 1),
                self.ratio(one, other, "off", 0), self.ratio(one, other, "off", 1)))
        return lines

    def table_of_settling(self, group):
        lines = ["", "%-42s %22s %7s" % (
            "withdrawals, %d a round" % self.options.settle, "per second", "CPU")]
        for name, title in group.contenders:
            lines.append("%-42s %22s %7.3f" % (
                title, self.spread(name, "on"), self.median(name, "on", 1)))
        for figure in self.figures(group):
            one, other = figure.one, figure.other
            lines.append("%-42s %22.2f %7.2f" % (
                "%s / %s" % (one, other), self.ratio(one, other, "on", 0),
                self.ratio(one, other, "on", 1)))
        return lines

    def figures(self, group):
        """Those of which both contenders were measured."""
        names = [contender.name for contender in group.contenders]
        return [figure for figure in contenders.FIGURES
                if figure.one in names and figure.other in names]

    def rows(self):
        """A line for each target measured.  Where it has several figures, the
        one that is furthest below its target, or the least above, decides."""
        decides = {}
        for group in self.groups.values():
            for figure in self.figures(group):
                for commit, target in (("on", figure.on), ("off", figure.off)):
                    if target is None:
                        continue
                    ratio = self.ratio(figure.one, figure.other, commit, 0)
                    decides.setdefault(figure.row, []).append(
                        (ratio / target, ratio, target))
        return ["row %d: ratio %.3f target %.2f" % (row, *min(decides[row])[1:])
                for row in sorted(decides)]

    # -----------------------------------------------------------------------

    def made(self, *names):
        return sum(self.calls_made.get(name, 0) for name in names)

    def sound(self):
        """Whether the books and the tables are right after all this."""
        problems = []
        with psycopg.connect(self.dsn("shop")) as shop:
            problems += shop.execute("SELECT * FROM teller.verify()").fetchall()
            if "any_table" in self.groups:
                problems += self.miscounted(shop)
            if self.groups.keys() & {"movements", "withdrawals"}:
                h = shop.execute(
                    "SELECT sum(posted) FROM h.account").fetchone()[0]
                if h != 0:
                    problems.append("the hand-written book sums to %s" % h)
        with psycopg.connect(self.dsn("bank")) as bank:
            problems += bank.execute("SELECT * FROM teller.verify()").fetchall()
        return problems

    def miscounted(self, shop):
        """The tables against the calls that pgbench counted: each has changed
        one row by one."""
        wallet = shop.execute(
            "SELECT sum(balance - 1000000), sum(version) FROM wallet").fetchone()
        units = shop.execute(
            "SELECT sum(units - 1000000) FROM stock").fetchone()
        answered = [
            shop.execute("SELECT count(response) FROM %s WHERE key NOT LIKE"
                         " 'old %%'" % table).fetchone()[0]
            for table in ("teller.request", "request")]
        for what, found, expected in (
            ("balances", wallet[0],
             self.made("row_credit", "update_credit")
             - self.made("row_debit", "update_debit")),
            ("versions", wallet[1], self.made("row_update", "update_version")),
            ("units", units[0],
             -self.made("row_debit_text", "update_debit_text")),
            ("answered requests", answered[0], self.made("request")),
            ("answered by hand", answered[1], self.made("insert_request")),
        ):
            if found != expected:
                yield "%s: %s, and the calls made %s" % (what, found, expected)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--accounts", type=int, default=100000)
    parser.add_argument("--settle", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    groups = contenders.choose(options.what)
    if not options.settle:
        groups.pop("withdrawals", None)
    bench = Bench(options, groups)
    bench.set_up()
    bench.run()
    for line in bench.table():
        print(line)
    problems = bench.sound()
    print()
    for problem in problems[:10]:
        print(problem)
    print("%s - after the bench the books verify and the tables hold what the "
          "calls left" % ("not ok" if problems else "ok"))
    for line in bench.rows():
        print(line)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
