#!/usr/bin/python3
"""Runs the contenders in rounds, in random order, and prints medians and ratios.

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

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
NEVER = threading.Event()

MOVEMENTS = [
    ("transfer", "teller.transfer"),
    ("transfer_key", "teller.transfer with a key"),
    ("cte", "hand-written SQL, one statement"),
    ("plpgsql", "hand-written PL/pgSQL function"),
    ("insert", "bare INSERT of one journal row"),
]
SETTLING = [
    ("worker", "pg_teller worker"),
    ("app", "application worker in Python, 16 threads"),
    ("direct", "teller_remote.execute, 16 clients"),
]
TARGETS = [
    ("transfer", "cte"),
    ("transfer", "plpgsql"),
    ("transfer", "insert"),
    ("transfer_key", "transfer"),
]


def times_of(pid):
    """utime, stime, cutime and cstime of a process, and its parent."""
    with open("/proc/%d/stat" % pid, "rb") as stat:
        fields = stat.read().rpartition(b") ")[2].split()
    return int(fields[1]), [int(field) for field in fields[11:15]]


def server_cpu_s(postmaster):
    """What the server has used so far: its own time and its children's."""
    ticks = sum(times_of(postmaster)[1])
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != postmaster:
            try:
                parent, times = times_of(int(name))
            except (OSError, IndexError):
                continue
            if parent == postmaster:
                ticks += sum(times)
    return ticks * TICK_S


def settled_so_far(connection):
    return connection.execute(
        "SELECT settled FROM teller.worker_status WHERE database = 'shop'"
    ).fetchone()[0]


class Bench:
    def __init__(self, options):
        self.options = options
        self.results = {}
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
        here = os.path.dirname(os.path.abspath(__file__))
        done = subprocess.run(
            [
                os.path.join(self.options.bin, "pgbench"), "-n", "-M", "prepared",
                "-h", self.options.socket, "-p", str(self.options.port),
                "-U", user, "-c", str(clients), "-j", "2",
                "-D", "accounts=%d" % self.options.accounts,
                "-f", os.path.join(here, "scripts", script + ".sql"),
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

    def movement(self, contender, commit):
        before = server_cpu_s(self.postmaster)
        tps, number = self.pgbench(
            contender, "shop", ["-T", str(self.options.seconds)],
            self.options.clients, commit)
        cpu = server_cpu_s(self.postmaster) - before
        self.note(contender, commit, tps, cpu * 1000 / max(number, 1))

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
        jobs = [("movement", name, commit)
                for name, _ in MOVEMENTS for commit in ("on", "off")]
        if self.options.settle:
            jobs += [("settle", name, None) for name, _ in SETTLING]
        chance = random.Random(self.options.seed)
        for number in range(self.options.rounds):
            chance.shuffle(jobs)
            for kind, name, commit in jobs:
                if kind == "movement":
                    self.movement(name, commit)
                else:
                    self.settle(name)
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
            "%d accounts" % (options.rounds, options.seconds, options.clients,
                             options.accounts),
            "medians (lowest to highest); CPU is the server's, in ms for each "
            "transaction",
            "load of the machine before: %.1f" % self.load_before,
            "",
            "%-34s %22s %7s  %22s %7s" % (
                "", "commit on", "CPU", "commit off", "CPU"),
        ]
        for name, title in MOVEMENTS:
            lines.append("%-34s %22s %7.3f  %22s %7.3f" % (
                title,
                self.spread(name, "on"), self.median(name, "on", 1),
                self.spread(name, "off"), self.median(name, "off", 1)))
        lines += ["", "%-34s %22s %7s  %22s %7s" % (
            "ratios", "tps", "CPU", "tps", "CPU")]
        for one, other in TARGETS:
            lines.append("%-34s %22.2f %7.2f  %22.2f %7.2f" % (
                "%s / %s" % (one, other),
                self.ratio(one, other, "on", 0), self.ratio(one, other, "on", 1),
                self.ratio(one, other, "off", 0), self.ratio(one, other, "off", 1)))
        if options.settle:
            lines += ["", "%-42s %22s %7s" % (
                "withdrawals, %d a round" % options.settle, "per second", "CPU")]
            for name, title in SETTLING:
                lines.append("%-42s %22s %7.3f" % (
                    title, self.spread(name, "on"), self.median(name, "on", 1)))
            for other in ("app", "direct"):
                lines.append("%-42s %22.2f %7.2f" % (
                    "worker / %s" % other, self.ratio("worker", other, "on", 0),
                    self.ratio("worker", other, "on", 1)))
        return lines

    def sound(self):
        """Whether the books are right after all this."""
        problems = []
        with psycopg.connect(self.dsn("shop")) as shop:
            problems += shop.execute("SELECT * FROM teller.verify()").fetchall()
            h = shop.execute(
                "SELECT sum(posted) FROM h.account").fetchone()[0]
            if h != 0:
                problems.append("the hand-written book sums to %s" % h)
        with psycopg.connect(self.dsn("bank")) as bank:
            problems += bank.execute("SELECT * FROM teller.verify()").fetchall()
        return problems


def main():
    parser = argparse.ArgumentParser()
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
    bench = Bench(options)
    bench.run()
    for line in bench.table():
        print(line)
    problems = bench.sound()
    print()
    for problem in problems[:10]:
        print(problem)
    print("%s - after the bench every book verifies"
          % ("not ok" if problems else "ok"))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
