"""A client: transactions of all sorts on hot accounts, and their log."""

import collections
import threading
import time

import psycopg
from psycopg.rows import dict_row

from request import LEVELS, Mix

NEVER = threading.Event()  # nobody sets it: waiting on it is a pause


class Lost(Exception):
    """The connection is gone."""


class Client(threading.Thread):
    """Makes transactions until it is told to stop."""

    def __init__(self, number, seed, dsn, single, stop):
        super().__init__(daemon=True)
        self.mix = Mix(seed, number)
        self.dsn = dsn
        self.single = single  # each transaction makes one call only
        self.stop = stop
        self.connection = None
        self.pid = None
        self.log = []  # calls
        self.holds = collections.deque(maxlen=12)
        self.operations = collections.deque(maxlen=12)
        self.errors = collections.Counter()
        self.since = None  # when the present statement was sent
        self.longest = (0, "")
        self.crash = None

    def run(self):
        try:
            while not self.stop.is_set():
                try:
                    self.connect()
                    while not self.stop.is_set():
                        self.transaction()
                except Lost:
                    self.errors["lost"] += 1
        except Exception as error:  # told by whoever joins us
            self.crash = error
        finally:
            if self.connection is not None:
                self.connection.close()

    def connect(self):
        while True:
            try:
                self.connection = psycopg.connect(
                    self.dsn, autocommit=True, row_factory=dict_row)
                self.pid = self.connection.info.backend_pid
                return
            except psycopg.OperationalError:
                NEVER.wait(0.05)

    def execute(self, sql, parameters=None):
        self.since = time.monotonic()
        try:
            return self.connection.execute(sql, parameters)
        except psycopg.Error as error:
            # Ended while the answer was under way: who knows what became of it.
            if self.connection.closed or error.sqlstate in (
                    None, "57P01", "57P02", "57P03"):
                self.pid = None
                self.connection.close()
                raise Lost from error
            self.errors[error.sqlstate] += 1
            if error.sqlstate.startswith("XX"):
                self.crash = error
            raise
        finally:
            took = time.monotonic() - self.since
            self.since = None
            if took > self.longest[0]:
                self.longest = (took, sql)

    # ---- transactions -----------------------------------------------------

    def transaction(self):
        calls = []
        self.mix.crowded = False
        try:
            if self.single or self.mix.random.random() < 0.4:
                fate = self.one_call(calls)
            else:
                fate = self.many_calls(calls)
        except Lost:
            self.settle(calls, "unknown")
            raise
        self.settle(calls, fate)

    def settle(self, calls, fate):
        for call in calls:
            if call.fate is None:
                call.fate = fate
            if call.fate == "committed" and call.kind == "hold" and call.hold:
                self.holds.append(call.hold)
            if call.fate == "committed" and call.kind == "operation" and call.operation:
                self.operations.append(call.operation)
        self.log += [call for call in calls if call.kind != "read"]

    def make(self, calls, call=None):
        """One call; its error goes on."""
        call = call or self.mix.call(self.holds, self.operations)
        calls.append(call)
        try:
            call.take(self.execute(call.sql, call.parameters).fetchall())
        except psycopg.Error as error:
            call.error = error.sqlstate
            call.fate = "undone"
            raise

    def one_call(self, calls):
        try:
            self.make(calls, self.mix.lone(self.holds, self.operations))
        except psycopg.Error:
            return "undone"
        return "committed"

    def many_calls(self, calls):
        draw = self.mix.random
        self.mix.crowded = draw.random() < 0.8
        level = draw.choices(LEVELS, (6, 2, 2))[0]
        try:
            self.execute("BEGIN ISOLATION LEVEL " + level)
            if draw.random() < 0.15:
                self.execute("SET LOCAL statement_timeout = %d" % draw.choice((3, 20)))
            for _ in range(draw.randint(1, 4)):
                self.step(calls)
            if draw.random() < 0.25:
                self.execute("ROLLBACK")
                return "undone"
            if self.execute("COMMIT").statusmessage != "COMMIT":
                return "undone"
            return "committed"
        except psycopg.Error:
            # An error of COMMIT itself is a rollback too.
            self.roll_back()
            return "undone"

    def roll_back(self):
        """This too can be cancelled, or take longer than the timeout."""
        while True:
            try:
                self.execute("ROLLBACK")
                return
            except psycopg.errors.QueryCanceled:
                pass

    def step(self, calls):
        """A call, or some within a savepoint that may be rolled back to."""
        draw = self.mix.random
        if draw.random() < 0.6:
            self.make(calls)
            return
        mark = len(calls)
        self.execute("SAVEPOINT s")
        try:
            for _ in range(draw.randint(1, 2)):
                self.make(calls)
            if draw.random() < 0.3:
                self.step(calls)
            if draw.random() < 0.5:
                self.execute("RELEASE SAVEPOINT s")
                return
        except psycopg.Error as error:
            if error.sqlstate in ("40001", "40P01", "57014"):
                raise
        self.execute("ROLLBACK TO SAVEPOINT s")
        self.execute("RELEASE SAVEPOINT s")
        for call in calls[mark:]:
            call.fate = "undone"
