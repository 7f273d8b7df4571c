"""The server that is measured: its databases, its CPU time, and what was found.

Server CPU is the user and system time of the postmaster and of all its
children, those that ended included, so it counts background processes too.
"""

import importlib
import os
import random
import re
import statistics
import subprocess
import sys
import time
from typing import NamedTuple, Optional

import psycopg

import contenders

TICK_S = 1 / os.sysconf("SC_CLK_TCK")
HERE = os.path.dirname(os.path.abspath(__file__))


class Sample(NamedTuple):
    value: float  # in the unit of its group
    cpu_ms: Optional[float] = None  # the server's, for each transaction or so


def say(text):
    print(text, file=sys.stderr, flush=True)


def times_of(pid):
    """The parent of a process; its utime, stime, cutime and cstime."""
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


class Bench:
    """One run: groups one after the other, each with its kind's module."""

    def __init__(self, options, groups):
        self.options = options
        self.groups = groups
        self.results = {}  # (group, contender, setting): [Sample]
        self.calls_made = {}  # (group, contender): calls, or items of batches
        self.left_out = {}  # (group, contender): why
        self.tallies = {}  # what a kind counts beside
        self.problems = []
        self.notes = []  # lines for the end of the table
        self.seconds = {}  # group: how long it took
        self.load_before = os.getloadavg()[0]
        with open(os.path.join(options.data, "postmaster.pid")) as file:
            self.postmaster = int(file.readline())

    # ------------------------------------------------------------- the server

    @staticmethod
    def database(group):
        return group.database or "bench_" + group.name

    def accounts(self, group):
        return min(self.options.accounts, group.accounts or sys.maxsize)

    def dsn(self, database, user="postgres"):
        return "host=%s port=%d user=%s dbname=%s" % (
            self.options.socket, self.options.port, user, database)

    def connect(self, database, user="postgres", options=""):
        """A connection in autocommit."""
        return psycopg.connect(self.dsn(database, user), autocommit=True,
                               options=options)

    def cpu_s(self):
        return server_cpu_s(self.postmaster)

    def program(self, name):
        return os.path.join(self.options.bin, name)

    def psql(self, database, file, **variables):
        subprocess.run(
            [
                self.program("psql"), "-X", "-q", "-v", "ON_ERROR_STOP=1",
                *("-v%s=%s" % pair for pair in variables.items()),
                "-f", os.path.join(HERE, file), self.dsn(database),
            ],
            check=True, stdout=subprocess.DEVNULL,
        )

    def pgbench(self, script, database, arguments, clients, accounts,
                options="", user="postgres"):
        """tps and transactions as pgbench counts them.  A script is a file of
        bench/scripts, or one of pgbench's own if it begins with `builtin:`."""
        source = (["-b", script[8:]] if script.startswith("builtin:")
                  else ["-f", os.path.join(HERE, "scripts", script + ".sql")])
        done = subprocess.run(
            [
                self.program("pgbench"), "-n", "-M", "prepared",
                "-h", self.options.socket, "-p", str(self.options.port),
                "-U", user, "-c", str(clients), "-j", str(min(clients, 2)),
                "-D", "accounts=%d" % accounts, "-D", "clients=%d" % clients,
                *("-D%s=%s" % pair for pair in contenders.VARIABLES.items()),
                *source, *arguments, database,
            ],
            env=dict(os.environ, PGOPTIONS=options),
            capture_output=True, text=True,
        )
        tps = re.search(r"tps = ([0-9.]+) \(without", done.stdout)
        number = re.search(r"actually processed: (\d+)", done.stdout)
        if done.returncode != 0 or not tps or "aborted" in done.stderr:
            raise RuntimeError("%s: %s" % (script, done.stderr.strip()[-500:]))
        return float(tps.group(1)), int(number.group(1))

    # ----------------------------------------------------------- what is found

    def note(self, group, contender, setting, value, cpu_ms=None):
        self.results.setdefault((group.name, contender, setting), []).append(
            Sample(value, cpu_ms))

    def count(self, group, contender, number):
        key = group.name, contender
        self.calls_made[key] = self.calls_made.get(key, 0) + number

    def samples(self, group, contender, setting):
        return self.results.get((group.name, contender, setting), [])

    def median(self, group, contender, setting, which=0):
        """None where it was not measured."""
        found = [sample[which] for sample in self.samples(group, contender, setting)
                 if sample[which] is not None]
        return statistics.median(found) if found else None

    # ------------------------------------------------------------------ a run

    def run(self):
        for group in self.groups.values():
            started = time.monotonic()
            self.set_up(group)
            if (not group.figures or self.figures_left(group)
                    or self.options.smoke):
                self.run_group(group)
            self.seconds[group.name] = time.monotonic() - started
            if not group.database:
                self.drop(group)

    def set_up(self, group):
        database = self.database(group)
        say("%s: making %d accounts or rows" % (database, self.accounts(group)))
        if not group.database:
            with self.connect("postgres") as connection:
                connection.execute('CREATE DATABASE "%s"' % database)
            self.psql(database, "empty.sql")
        variables = {"accounts": self.accounts(group)}
        if self.options.pgledger:
            variables["pgledger"] = self.options.pgledger
        for step in group.setup:
            file, needed = step if isinstance(step, tuple) else (step, None)
            if not needed or self.has(group, needed):
                self.psql(database, file, **variables)
        for contender in group.contenders:
            if contender.needs and not self.has(group, contender.needs):
                self.left_out[group.name, contender.name] = \
                    contenders.NEEDS[contender.needs][1]

    def has(self, group, what):
        """Whether the group's database has what a contender needs."""
        with psycopg.connect(self.dsn(self.database(group))) as connection:
            try:
                connection.execute(contenders.NEEDS[what][0])
            except (psycopg.errors.FeatureNotSupported,
                    psycopg.errors.UndefinedFunction,
                    psycopg.errors.UndefinedObject):
                return False
            finally:
                connection.rollback()
        return True

    def figures_left(self, group):
        """The figures of which both contenders are measured."""
        there = {c.name for c in group.contenders
                 if (group.name, c.name) not in self.left_out}
        return [f for f in group.figures if f.one in there and f.other in there]

    def contenders_left(self, group):
        return [c for c in group.contenders
                if (group.name, c.name) not in self.left_out]

    def run_group(self, group):
        kind = importlib.import_module(group.kind)
        if hasattr(kind, "prepare"):
            kind.prepare(self, group)
        before = self.readings(group)
        jobs = kind.jobs(self, group)
        chance = random.Random(self.options.seed)
        rounds = self.options.rounds if jobs else 0
        for number in range(rounds):
            chance.shuffle(jobs)
            for what, arguments in jobs:
                what(*arguments)
            say("%s: round %d of %d" % (group.name, number + 1, rounds))
        if hasattr(kind, "alone"):
            kind.alone(self, group)
        self.problems += self.wrong(group, before)
        if hasattr(kind, "problems"):
            self.problems += kind.problems(self, group)

    def drop(self, group):
        with self.connect("postgres") as connection:
            connection.execute(
                'DROP DATABASE "%s" WITH (FORCE)' % self.database(group))

    # ------------------------------------------------------- are the books right

    def checks(self, group):
        there = {contender.name for contender in self.contenders_left(group)}
        return [check for check in group.checks
                if not check.rows or there & check.rows.keys()]

    def readings(self, group):
        with self.connect(self.database(group)) as connection:
            return [connection.execute(check.sql).fetchone()[0]
                    for check in self.checks(group)]

    def wrong(self, group, before):
        """Yields what is not as the calls that were counted must leave it."""
        after = self.readings(group)
        for check, first, last in zip(self.checks(group), before, after):
            expected = sum(each * self.calls_made.get((group.name, name), 0)
                           for name, each in check.rows.items())
            if last - first != expected:
                yield "%s: %s changed by %s, and the calls make %s" % (
                    group.name, check.what, last - first, expected)
        for database in {self.database(group),
                         "bank" if group.database else self.database(group)}:
            with self.connect(database) as connection:
                # The tables have grown much faster than autovacuum looks.
                connection.execute("ANALYZE")
                started = time.monotonic()
                for problem in connection.execute("SELECT * FROM teller.verify()"):
                    yield "%s: verify: %s" % (database, problem)
                say("%s: verify() took %.0f s" % (
                    database, time.monotonic() - started))
