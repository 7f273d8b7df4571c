"""Runs calls on the server, beside the model, and compares.

One statement at a time is issued, but a call that must wait for another
session's transaction, as the model says, is left waiting (one at a time) and
compared when the model says that it goes on.
"""

import collections
import dataclasses
import datetime
import decimal
import functools
import json
import threading
import time
import uuid

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

from book import Book
from calls import SKIP, Call, Deadline, Id, OneOf
from decide import evaluate
from locks import undecided, wants

TYPES = {
    "ledger": "bigint", "account": "bigint", "debit_account": "bigint",
    "credit_account": "bigint", "amount": "numeric", "max_amount": "numeric",
    "min_amount": "numeric", "min_after": "numeric", "max_after": "numeric",
    "min_balance": "numeric", "max_balance": "numeric", "expected_version": "bigint",
    "after_id": "uuid", "effective_at": "timestamptz", "at": "timestamptz", "ttl": "interval",
    "hold": "uuid", "id": "uuid", "batch_id": "uuid", "final": "boolean",
    "debit_accounts": "bigint[]", "credit_accounts": "bigint[]",
    "amounts": "numeric[]", "keys": "text[]", "expected_versions": "bigint[]",
    "hot": "boolean", "force": "boolean", "after_version": "bigint", "max_rows": "int", "max_holds": "int",
}
WITHOUT_LEDGER = ("expire_due",)
SESSIONS = "ABC"
NOBODYS_ID = "00000000-0000-7000-8000-000000000000"
PATIENCE_S = 5
WORKER_S = 60
DEADLINE_SLACK_S = 10

set_json_loads(functools.partial(json.loads, parse_float=decimal.Decimal))


class Difference(AssertionError):
    """The server did not do what the model says."""


class Server:
    """The connections, kept from one example to the next."""

    def __init__(self):
        self.connections = {name: self.connect() for name in SESSIONS}
        self.eye = self.connect()
        self.calls = 0
        self.folds = False  # a worker is here, which folds hot accounts
        self.seen = collections.Counter()  # (function, how it ended)

    @staticmethod
    def connect():
        connection = psycopg.connect(
            "application_name=property", autocommit=True, row_factory=dict_row)
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET lock_timeout = '%ds'" % PATIENCE_S)
        return connection

    def has_worker(self):
        """A server that preloads pg_teller and has room for a worker starts one."""
        if not self.eye.execute(
                "SELECT current_setting('shared_preload_libraries') LIKE '%pg_teller%'"
                " AND current_setting('max_worker_processes')::int > 0 AS has"
                ).fetchone()["has"]:
            return False
        until = time.monotonic() + WORKER_S
        while not self.eye.execute("SELECT count(*) AS n FROM teller.worker_status"
                                   ).fetchone()["n"]:
            if time.monotonic() > until:
                raise Difference("no worker comes to this database")
        return True

    def make_ledger(self):
        return self.eye.execute(
            "WITH made AS (SELECT coalesce(max(ledger_id), 0) + 1 AS id"
            " FROM teller.ledger) SELECT id, teller.create_ledger(id) FROM made"
        ).fetchone()["id"]

    def tidy(self):
        """Whatever an example left: no transaction, no hold that is due."""
        for connection in self.connections.values():
            connection.execute("ROLLBACK")
        while self.eye.execute("SELECT teller.expire_due()").fetchone()["expire_due"]:
            pass


class Waiting(threading.Thread):
    """A call that waits for another session."""

    def __init__(self, connection, call, sql, parameters):
        super().__init__(daemon=True)
        self.connection, self.call = connection, call
        self.sql, self.parameters = sql, parameters
        self.result = None

    def run(self):
        self.result = perform(self.connection, self.sql, self.parameters)


def perform(connection, sql, parameters):
    """Rows, or the SQLSTATE and the message."""
    try:
        return connection.execute(sql, parameters).fetchall(), None
    except psycopg.Error as error:
        return None, error


class Driver:
    """One example: a ledger of its own, three sessions."""

    def __init__(self, server):
        self.server = server
        self.book = Book(server.make_ledger(), SESSIONS)
        self.waiting = None
        self.transcript = []

    # ---- SQL ---------------------------------------------------------------

    def value(self, name, given):
        if name in ("hold", "id", "batch_id") and given is not None:
            return str(self.book.ids.get(given, NOBODYS_ID))
        if isinstance(given, list):
            return [None if v is None else str(v) for v in given]
        return given

    def statement(self, call):
        given = dict(call.arguments)
        if call.function not in WITHOUT_LEDGER:
            given = {"ledger": self.book.ledger, **given}
        parts, parameters = [], []
        for name, value in given.items():
            kind = TYPES.get(name, "text")
            if name == "metadata":
                kind = "jsonb[]" if isinstance(value, list) else "jsonb"
            parts.append("%s => %%s::text%s::%s" % (
                name, "[]" if isinstance(value, list) else "", kind))
            value = self.value(name, value)
            parameters.append(value if value is None or isinstance(value, list)
                              else str(value))
        return "SELECT * FROM teller.%s(%s)" % (
            call.function, ", ".join(parts)), parameters

    @staticmethod
    def literal(value):
        if value is None:
            return "NULL"
        if isinstance(value, list):
            return "'{%s}'" % ",".join("NULL" if v is None else str(v) for v in value)
        if isinstance(value, int):
            return str(value)
        value = value if len(value) < 80 else value[:40] + "..."
        return "'%s'" % value.replace("'", "''")

    def written(self, call):
        given = ["%s => %s" % (name, self.literal(value))
                 for name, value in call.arguments.items()]
        if call.function not in WITHOUT_LEDGER and "ledger" not in call.arguments:
            given = [str(self.book.ledger)] + given
        return "SELECT * FROM teller.%s(%s)" % (call.function, ", ".join(given))

    def note(self, session, what, outcome=""):
        self.transcript.append("%s: %s;%s" % (
            session.name, what, "  -- " + outcome if outcome else ""))

    # ---- transactions ------------------------------------------------------

    def control(self, session, sql):
        """BEGIN and the like; the model follows."""
        self.server.calls += 1
        self.note(session, sql)
        self.server.connections[session.name].execute(sql)
        word, name = sql.split()[0], sql.split()[-1]
        if word == "BEGIN":
            self.book.begin(session)
        elif word == "COMMIT":
            self.book.commit(session)
        elif word == "SAVEPOINT":
            self.book.savepoint(session, name)
        elif word == "RELEASE":
            self.book.release(session, name)
        elif name == "ROLLBACK":
            self.book.rollback(session)
        else:
            self.book.back_to(session, name)
        self.settle()

    def recover(self, session):
        if session.failed:
            name = session.layers[-1].savepoint
            self.control(session, "ROLLBACK TO SAVEPOINT " + name if name else "ROLLBACK")

    # ---- calls -------------------------------------------------------------

    def call(self, session, call):
        """Make the call, unless the model cannot tell what it would do."""
        if session.waiting:
            return
        alone = not session.layers
        if alone:
            self.book.begin(session)
        view = self.book.view(session)
        expected = evaluate(self.book, view, call)
        in_the_way = [n for n in wants(view, call) if self.book.holders(session, n)]
        if not in_the_way and not expected.early:
            in_the_way = undecided(self.book, session, call)
        if in_the_way and (self.waiting or expected.early or call.function == "expire_due"):
            if alone:
                self.book.rollback(session)
            return
        self.server.calls += 1
        session.alone = alone
        if in_the_way:
            self.leave_waiting(session, call)
            return
        self.book.acquire(session, wants(view, call))
        sql, parameters = self.statement(call)
        got = perform(self.server.connections[session.name], sql, parameters)
        self.finish(session, call, expected, got)
        self.settle()

    def in_failed(self, session, call):
        """Every call is 25P02 until the transaction is rolled back."""
        self.server.calls += 1
        sql, parameters = self.statement(call)
        _, error = perform(self.server.connections[session.name], sql, parameters)
        if error is None or error.sqlstate != "25P02":
            raise self.difference(session, call, "25P02", error or "an answer")

    def finish(self, session, call, expected, got):
        rows, error = got
        self.count(call, rows, error)
        self.compare(session, call, expected, rows, error)
        if error is None:
            self.note(session, self.written(call), self.brief(rows))
            if expected.done:
                expected.done(rows)
            self.free_keys(session)
            self.pass_deadlines(session)
        else:
            self.note(session, self.written(call), error.sqlstate)
            self.book.fail(session)
        if session.alone:
            self.book.commit(session)

    def free_keys(self, session):
        """A key under which nothing was stored is free for others at once."""
        view = self.book.view(session)
        locks = session.layers[-1].locks
        for name in [n for n in locks if n[0] == "key" and not view.get(*n)]:
            locks.discard(name)

    def count(self, call, rows, error):
        """What sort of answer was met, for the claim that all were."""
        seen = self.server.seen
        if error is not None:
            seen[call.function, error.sqlstate] += 1
            return
        seen[call.function, "answered"] += 1
        for row in rows:
            if row.get("replayed"):
                seen[call.function, "replayed"] += 1
            if row.get("reason"):
                seen[call.function, row["reason"]] += 1

    def pass_deadlines(self, session):
        """A hold of a microsecond is due from now on, by the server's clock."""
        for hold in session.layers[-1].changes.values():
            if getattr(hold, "due", False) and hold.state == "open":
                until = time.monotonic() + PATIENCE_S
                while not self.server.eye.execute(
                        "SELECT clock_timestamp() > %s AS due", (hold.expires_at,)
                ).fetchone()["due"]:
                    if time.monotonic() > until:
                        raise Difference("the clock does not reach %s" % hold.expires_at)

    # ---- hot accounts ------------------------------------------------------

    def switch(self, number, stays):
        """Between transactions an account becomes hot, or is so no longer; or it
        stays what it is and is only written, for which it is folded."""
        name = "account", number
        account = self.book.committed.get(name)
        if account is None:
            return
        self.server.calls += 1
        if stays:
            sql = "SELECT teller.set_metadata(%d, %d, NULL)" % (self.book.ledger, number)
        else:
            self.book.committed[name] = account = dataclasses.replace(
                account, hot=not account.hot, mixed=True)
            sql = "SELECT teller.set_hot(%d, %d, %s)" % (
                self.book.ledger, number, account.hot)
        self.transcript.append("E: %s;" % sql)
        self.server.eye.execute(sql)
        self.server.seen["set_hot" if not stays else "set_metadata", "answered"] += 1

    # ---- waiting -----------------------------------------------------------

    def leave_waiting(self, session, call):
        sql, parameters = self.statement(call)
        connection = self.server.connections[session.name]
        others = self.book.acquire(session, wants(self.book.view(session), call))
        session.waiting = self.waiting = Waiting(connection, call, sql, parameters)
        self.waiting.session = session
        self.waiting.start()
        self.server.seen[call.function, "waited"] += 1
        if others:
            self.wait_for_lock(session, others)
        else:
            self.wait_for_end(session, undecided(self.book, session, call))

    def wait_for_lock(self, session, others):
        """Its call waits for one of these, as the server chooses."""
        found = self.find_blocker(session, others)
        self.book.set_awaited(session, found)
        if found is not session.awaits:
            self.note(session, self.written(self.waiting.call), "waits for " + found.name)
        session.awaits = found

    def find_blocker(self, session, others):
        """The one of these that it waits for; it must be one of them."""
        call, connection = self.waiting.call, self.server.connections[session.name]
        names = " or ".join(other.name for other in others)
        pids = {self.server.connections[other.name].info.backend_pid: other
                for other in others}
        until = time.monotonic() + PATIENCE_S
        while True:
            blockers = self.blockers(connection)
            found = next(filter(None, map(pids.get, blockers)), None)
            if found is not None:
                return found
            if not self.waiting.is_alive():
                raise self.difference(session, call, "it waits for " + names,
                                      self.waiting.result)
            if time.monotonic() > until:
                raise self.difference(session, call, "it waits for " + names,
                                      "it waits for %s" % blockers)

    def wait_for_end(self, session, ends):
        """Its call waits for one of these sessions, as the server chooses, until
        what it did of the account has ended."""
        found = self.find_blocker(session, [other for other, _ in ends])
        session.until = next(end for end in ends if end[0] is found)
        session.wanted = None
        self.note(session, self.written(self.waiting.call),
                  "waits for the end of " + found.name)
        self.server.seen[self.waiting.call.function, "undecided"] += 1

    def blockers(self, connection):
        return self.server.eye.execute(
            "SELECT pg_blocking_pids(%s) AS pids", (connection.info.backend_pid,)
        ).fetchone()["pids"]

    def settle(self):
        """Let the call that waits go on, if nobody is in its way any more."""
        if not self.waiting:
            return
        waiting, session = self.waiting, self.waiting.session
        view = self.book.view(session)
        if session.until and not session.until[0].ended(session.until[1]):
            return
        session.until = None
        others = self.book.acquire(session, wants(view, waiting.call))
        if others:
            self.wait_for_lock(session, others)
            return
        if not evaluate(self.book, view, waiting.call).early:
            others = undecided(self.book, session, waiting.call)
        if others:
            self.wait_for_end(session, others)
            return
        waiting.join(PATIENCE_S + 1)
        if waiting.is_alive():
            raise self.difference(session, waiting.call, "it goes on", "it still waits")
        self.waiting = session.waiting = session.awaits = None
        expected = evaluate(self.book, view, waiting.call)
        self.finish(session, waiting.call, expected, waiting.result)

    # ---- comparing ---------------------------------------------------------

    def compare(self, session, call, expected, rows, error):
        if error is not None:
            if error.sqlstate not in expected.codes:
                raise self.difference(session, call, self.told(expected), error)
            self.compare_message(session, call, error)
            return
        if expected.rows is None or len(rows) != len(expected.rows):
            raise self.difference(session, call, self.told(expected), self.brief(rows))
        for want, got in zip(expected.rows, rows):
            for column, value in want.items():
                if not self.same(value, got[column]):
                    raise self.difference(
                        session, call, "%s = %s" % (column, self.shown(value)),
                        "%s, in %s" % (self.shown(got[column]), self.brief(rows)))

    def compare_message(self, session, call, error):
        """What the contract says about messages, beyond the SQLSTATE."""
        if not error.diag.message_primary:
            raise self.difference(session, call, "a message", error)
        if error.sqlstate in ("TL001", "TL002", "TL004") and not error.diag.message_detail:
            raise self.difference(session, call, "a detail with the numbers", error)

    def same(self, want, got):
        if want is SKIP:
            return True
        if isinstance(want, OneOf):
            return got in want
        if isinstance(want, Id):
            return self.bind(want, got)
        if isinstance(want, Deadline):
            now = datetime.datetime.now(datetime.timezone.utc)
            return abs((got - now).total_seconds() - want.seconds) < DEADLINE_SLACK_S
        if isinstance(got, datetime.datetime) and isinstance(want, str):
            return got == datetime.datetime.fromisoformat(want)
        if isinstance(got, (dict, list)) and isinstance(want, str):
            return got == json.loads(want)
        return type(want) is type(got) and str(want) == str(got)

    def bind(self, name, got):
        if name in self.book.ids:
            return got == self.book.ids[name]
        if not isinstance(got, uuid.UUID) or got.version != 7 or got in self.book.known:
            return False
        self.book.ids[str(name)] = got
        self.book.known.add(got)
        return True

    def shown(self, value):
        if isinstance(value, uuid.UUID):
            return next((n for n, v in self.book.ids.items() if v == value), str(value))
        if isinstance(value, Deadline):
            return "%g s from now" % value.seconds
        if isinstance(value, OneOf):
            return " or ".join(sorted(value))
        return str(value)

    def brief(self, rows):
        told = []
        for row in rows:
            told.append(" ".join(
                "%s=%s" % (column, self.shown(value)) for column, value in row.items()
                if value is not None and value is not False and column not in (
                    "ledger_id", "effective_at", "recorded_at", "expires_at")))
        return " | ".join(told) or "no row"

    def told(self, expected):
        if expected.rows is None:
            return "one of " + " ".join(sorted(expected.codes))
        return " | ".join(" ".join(
            "%s=%s" % (c, self.shown(v)) for c, v in row.items()
            if v is not SKIP and v is not None) for row in expected.rows) or "no row"

    def difference(self, session, call, expected, got):
        if isinstance(got, psycopg.Error):
            got = "%s %s" % (got.sqlstate, got.diag.message_primary)
        self.note(session, self.written(call))
        self.transcript.append("   expected: %s" % (expected,))
        self.transcript.append("   got:      %s" % (got,))
        return Difference("\n".join(self.transcript))

    # ---- the end of an example ---------------------------------------------

    def close(self):
        """Nobody waits any more, and nothing is open."""
        for session in self.book.sessions.values():
            if session.layers and not session.waiting:
                self.control(session, "ROLLBACK" if session.failed else "COMMIT")
        for session in self.book.sessions.values():
            if session.layers:
                self.control(session, "ROLLBACK" if session.failed else "COMMIT")
        self.call(self.book.sessions["A"], Call("expire_due", {}))

    def abandon(self):
        """After a difference: only see that the connections are free."""
        for session in self.book.sessions.values():
            if session.waiting is None:
                self.server.connections[session.name].execute("ROLLBACK")
        if self.waiting:
            self.waiting.connection.cancel()
            self.waiting.join(PATIENCE_S + 1)
        self.server.tidy()
