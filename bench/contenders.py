"""What is measured: groups of contenders, and the targets their ratios have.

A group is measured by the module that its kind names (calls.py, batches.py,
settling.py, ...), in a database of its own, its contenders interleaved.  The
numbers of the rows are those of the table in bench/README.md.
"""

import sys
from typing import NamedTuple, Optional, Tuple


class Setting(NamedTuple):
    """Under what a contender is measured.  Where the name begins with a number
    the charts take it for the x axis."""

    name: str
    number: Optional[int] = None  # of clients, items, rows: the kind's business
    options: str = ""  # of the server's sessions, as in PGOPTIONS


class Contender(NamedTuple):
    name: str  # unique in its group
    title: str
    script: Optional[str] = None  # bench/scripts/SCRIPT.sql, default its name
    needs: Optional[str] = None  # one of NEEDS; left out where there is none
    settings: Optional[Tuple[str, ...]] = None  # default all of the group


class Figure(NamedTuple):
    """A ratio of two medians.  Where it has no target it is shown only."""

    one: str
    other: str
    row: Optional[str] = None
    targets: dict = {}  # name of a setting: the ratio to be reached
    against: Optional[str] = None  # setting of the other, default the same one
    most: bool = False  # the ratio should be at most the target


class Check(NamedTuple):
    """A number that the calls change by so much each, and nothing else does."""

    what: str
    sql: str
    rows: dict  # contender: by how much one call changes it


class Group(NamedTuple):
    title: str
    kind: str  # the module that measures it
    settings: list
    contenders: list
    figures: list
    checks: list = []
    # SQL files, after a database with ledger 1 is made; a pair of a file and one
    # of NEEDS is run only where that is there.
    setup: tuple = ()
    unit: str = "tps"  # of what is measured
    per: str = "transaction"  # CPU is given in ms for each
    accounts: Optional[int] = None  # at most so many
    database: Optional[str] = None  # `shop` has the bank beside it
    apart: bool = False  # takes long: measured only where it is asked for
    name: str = ""  # its key in GROUPS, filled in by choose()

    def contender(self, name):
        return next(c for c in self.contenders if c.name == name)

    def ordered_settings_of(self, contender):
        return sorted(self.settings_of(contender), key=lambda s: s.number or 0)

    def settings_of(self, contender):
        """The first is the one that a smoke test takes."""
        return [s for s in self.settings
                if contender.settings is None or s.name in contender.settings]


COMMIT = [
    Setting("commit on"),
    Setting("commit off", options="-c synchronous_commit=off"),
]


def clients(*numbers):
    return [Setting("%d clients" % n if n > 1 else "1 client", n)
            for n in numbers]


# What a contender may need: an SQL command that fails with 0A000, 42883 or
# 42704 where it is not there, and what to say then.  It is rolled back.
NEEDS = {
    "pgledger": ("SELECT 'pgledger_create_transfer'::regproc",
                 "give its SQL with --pgledger FILE"),
    "hot": ("SELECT teller.open_account(1, 999, 'USD', hot => true)",
            "this server refuses hot accounts"),
    "early": ("SELECT 'teller.transfer_early'::regproc",
              "this server has no teller.transfer_early"),
}

HAND_BALANCES = Check("the sum of the hand-written book",
                      "SELECT sum(posted) FROM h.account", {})

JOURNAL_ROWS = Check("rows of teller.journal",
                     "SELECT count(*) FROM teller.journal", {"transfer": 1})

CPU_BOUND = ("commit off",)
SLOW_COMMIT = Setting("64 clients, 1 ms commit", 64,
                      "-c commit_delay=1000 -c commit_siblings=0")
BY_CLIENTS = ("1 client", "8 clients", "32 clients", "64 clients")
SEVERAL = (*BY_CLIENTS[1:], SLOW_COMMIT.name)
SMALL, MIDDLE, LARGE = "10000 rows", "1000000 rows", "10000000 rows"
SIZES = [Setting(SMALL, 10000), Setting(MIDDLE, 1000000),
         Setting(LARGE, 10000000)]
HOLDS = [Setting("100000 holds", 100000), Setting("1000000 holds", 1000000)]
HOT_TARGETS = {"8 clients": 3.4, "32 clients": 7.2, "64 clients": 8.7}

GROUPS = {
    "movements": Group(
        "Movements, {clients} clients", "calls", COMMIT, [
            Contender("transfer", "teller.transfer"),
            Contender("transfer_key", "teller.transfer with a key"),
            Contender("cte", "hand-written SQL, one statement"),
            Contender("statements", "hand-written SQL, six statements",
                      settings=("commit on",)),
            Contender("plpgsql", "hand-written PL/pgSQL function"),
            Contender("insert", "bare INSERT of one journal row"),
            Contender("hold_capture", "teller.hold, then teller.capture"),
            Contender("two_transfers", "teller.transfer twice"),
            Contender("tpcb", "pgbench's own tpcb-like, scale 10",
                      "builtin:tpcb-like", settings=("commit on",)),
        ], [
            Figure("transfer", "cte", "1", {"commit on": 1.45, "commit off": 1.7}),
            Figure("transfer", "plpgsql", "2", {"commit on": 1.3, "commit off": 1.5}),
            Figure("transfer", "insert", "3", {"commit on": 0.85, "commit off": 0.85}),
            Figure("transfer_key", "transfer", "5",
                   {"commit on": 0.8, "commit off": 0.8}),
            Figure("hold_capture", "two_transfers", "6",
                   {"commit on": 0.9, "commit off": 0.9}),
            Figure("transfer", "statements"),
            Figure("transfer", "tpcb"),
        ], [
            Check("rows of teller.journal", "SELECT count(*) FROM teller.journal",
                  {"transfer": 1, "transfer_key": 1, "hold_capture": 2,
                   "two_transfers": 2}),
            Check("rows of h.journal", "SELECT count(*) FROM h.journal",
                  {"cte": 1, "statements": 1, "plpgsql": 1}),
            Check("rows of h.bare", "SELECT count(*) FROM h.bare", {"insert": 1}),
            HAND_BALANCES,
        ], setup=("books.sql",)),
    "pgledger": Group(
        "Beside pgledger, {clients} clients", "calls", COMMIT, [
            Contender("transfer", "teller.transfer"),
            Contender("pgledger", "pgledger_create_transfer", needs="pgledger"),
        ], [
            Figure("transfer", "pgledger", "4", {"commit on": 4, "commit off": 8}),
        ], [
            JOURNAL_ROWS,
            Check("transfers of pgledger",
                  "SELECT count(*) FROM pgledger_transfers", {"pgledger": 1}),
        ], setup=("books.sql", "pgledger.sql"), accounts=10000),
    "clients": Group(
        "Transfers by clients", "calls", clients(1, 4, 16, 64), [
            Contender("transfer", "teller.transfer"),
            Contender("cte", "hand-written SQL, one statement"),
            Contender("plpgsql", "hand-written PL/pgSQL function"),
            Contender("insert", "bare INSERT of one journal row"),
        ], [], [
            JOURNAL_ROWS,
            Check("rows of h.journal", "SELECT count(*) FROM h.journal",
                  {"cte": 1, "plpgsql": 1}),
            Check("rows of h.bare", "SELECT count(*) FROM h.bare", {"insert": 1}),
            HAND_BALANCES,
        ], setup=("books.sql",)),
    "batches": Group(
        "Batches, one session", "batches",
        [Setting("1000 items", 1000), Setting("8000 items", 8000),
         Setting("1 item", 1), Setting("10 items", 10),
         Setting("100 items", 100)], [
            Contender("post", "teller.post, atomic"),
            Contender("copy", "COPY of the rows that post wrote"),
            Contender("set_based", "hand-written set-based SQL"),
        ], [
            Figure("post", "copy", "7", {"1000 items": 0.95, "8000 items": 1.1}),
            Figure("post", "set_based", "8", {"1000 items": 2.5, "8000 items": 2.5}),
        ], [
            Check("rows of teller.journal", "SELECT count(*) FROM teller.journal",
                  {"post": 1}),
            Check("rows of h.journal", "SELECT count(*) FROM h.journal",
                  {"set_based": 1}),
            Check("rows of h.copied", "SELECT count(*) FROM h.copied", {"copy": 1}),
            HAND_BALANCES,
        ], setup=("books.sql", "batches.sql"), unit="items per second",
        per="1000 items", accounts=10000),
    "sessions": Group(
        "Batches of 1000 items, several sessions over the same accounts",
        "batches", [Setting("1 session", 1), Setting("2 sessions", 2),
                    Setting("4 sessions", 4)], [
            Contender("post_sessions", "teller.post, atomic"),
        ], [
            Figure("post_sessions", "post_sessions", "9",
                   {"2 sessions": 0.9, "4 sessions": 0.9}, against="1 session"),
        ], [
            Check("rows of teller.journal", "SELECT count(*) FROM teller.journal",
                  {"post_sessions": 1}),
        ], setup=("books.sql",), unit="items per second", per="1000 items",
        accounts=10000),
    "hot": Group(
        "One account in every transfer", "calls",
        [*clients(8, 32, 64, 1), SLOW_COMMIT], [
            Contender("hot_out", "out of a hot account", needs="hot"),
            Contender("row_out", "out of an account with a row lock"),
            Contender("hot_in", "into a hot account", needs="hot",
                      settings=SEVERAL),
            Contender("row_in", "into an account with a row lock",
                      settings=SEVERAL),
            Contender("early_out", "the same out, CALL teller.transfer_early",
                      needs="early", settings=BY_CLIENTS),
            Contender("spread", "between different accounts", "transfer",
                      settings=BY_CLIENTS),
        ], [
            Figure("hot_out", "row_out", "10", HOT_TARGETS),
            Figure("hot_in", "row_in", "10", HOT_TARGETS),
            Figure("hot_out", "spread", "11", dict.fromkeys(HOT_TARGETS, 1.0)),
            Figure("hot_in", "spread", "11", dict.fromkeys(HOT_TARGETS, 1.0)),
            Figure("hot_out", "row_out", "12", {SLOW_COMMIT.name: 25}),
            Figure("hot_in", "row_in", "12", {SLOW_COMMIT.name: 25}),
            Figure("early_out", "row_out", "13",
                   {"8 clients": 2.8, "32 clients": 4.9}),
        ], [
            *(Check("rows of the journal that %s account %d" % (verb, account),
                    "SELECT count(*) FROM teller.journal WHERE ledger_id = 1 AND"
                    " %s_account = %d" % (verb, account), {name: 1})
              for name, verb, account in (
                  ("hot_out", "debit", 3), ("hot_in", "credit", 3),
                  ("row_out", "debit", 4), ("row_in", "credit", 4),
                  ("early_out", "debit", 5))),
            Check("rows of teller.journal", "SELECT count(*) FROM teller.journal",
                  dict.fromkeys(("hot_out", "hot_in", "row_out", "row_in",
                                 "early_out", "spread"), 1)),
        ], setup=("books.sql", "hot.sql", ("escrow.sql", "hot"))),
    "any_table": Group(
        "Any table, {clients} clients", "calls", COMMIT, [
            Contender("row_debit", "teller.row_debit"),
            Contender("update_debit", "hand-written UPDATE"),
            Contender("row_debit_text", "teller.row_debit, text key, integer",
                      settings=CPU_BOUND),
            Contender("update_debit_text", "hand-written UPDATE, text key, integer",
                      settings=CPU_BOUND),
            Contender("row_credit", "teller.row_credit",
                      settings=CPU_BOUND),
            Contender("update_credit", "hand-written UPDATE",
                      settings=CPU_BOUND),
            Contender("row_update", "SELECT, then teller.row_update",
                      settings=CPU_BOUND),
            Contender("update_version", "SELECT, then hand-written UPDATE",
                      settings=CPU_BOUND),
            Contender("lock_rows", "teller.lock_rows of 100 ids"),
            Contender("select_lock", "hand-written SELECT FOR NO KEY UPDATE"),
            Contender("request", "teller.begin_request, finish_request",
                      settings=CPU_BOUND),
            Contender("insert_request", "hand-written INSERT ON CONFLICT, UPDATE",
                      settings=CPU_BOUND),
        ], [
            Figure("row_debit", "update_debit", "14",
                   {"commit on": 0.9, "commit off": 0.9}),
            Figure("row_debit_text", "update_debit_text"),
            Figure("row_credit", "update_credit"),
            Figure("row_update", "update_version"),
            Figure("lock_rows", "select_lock", "15",
                   {"commit on": 1.0, "commit off": 1.0}),
            Figure("request", "insert_request"),
        ], [
            Check("balances", "SELECT sum(balance) FROM wallet",
                  {"row_credit": 1, "update_credit": 1,
                   "row_debit": -1, "update_debit": -1}),
            Check("versions", "SELECT sum(version) FROM wallet",
                  {"row_update": 1, "update_version": 1}),
            Check("units", "SELECT sum(units) FROM stock",
                  {"row_debit_text": -1, "update_debit_text": -1}),
            Check("answered requests",
                  "SELECT count(response) FROM teller.request", {"request": 1}),
            Check("requests answered by hand",
                  "SELECT count(response) FROM request", {"insert_request": 1}),
        ], setup=("any_table.sql",)),
    "withdrawals": Group(
        "Withdrawals settled", "settling", [Setting("both books here")], [
            Contender("worker", "pg_teller worker, 8 clients submit"),
            Contender("app", "application worker in Python, 16 threads"),
            Contender("direct", "teller_remote.execute, 16 clients"),
        ], [
            Figure("worker", "app", "17", {"both books here": 5}),
            Figure("worker", "direct", "18", {"both books here": 0.5}),
        ], [
            Check("operations settled", "SELECT count(*) FROM teller.operation"
                  " WHERE state = 'settled'", {"worker": 1}),
            Check("payouts made by hand",
                  "SELECT count(*) FROM h.payout WHERE state = 'settled'",
                  {"app": 1}),
            HAND_BALANCES,
        ], setup=("books.sql",), unit="per second", per="withdrawal",
        database="shop"),
    "submit": Group(
        "Withdrawals submitted, 8 clients", "submitting",
        [Setting("commit on")], [
            Contender("withdraw_only", "teller.withdraw, one settlement account",
                      "withdraw"),
            Contender("hold_spread", "teller.hold between different accounts"),
        ], [
            Figure("withdraw_only", "hold_spread", "16b", {"commit on": 0.8}),
        ], [
            Check("operations", "SELECT count(*) FROM teller.operation",
                  {"withdraw_only": 1}),
            Check("open holds",
                  "SELECT count(*) FROM teller.hold WHERE state = 'open'",
                  {"withdraw_only": 1, "hold_spread": 1}),
        ], setup=("books.sql", "submit_only.sql")),
    "http": Group(
        "Withdrawals settled by a service behind HTTP", "settling",
        [Setting("both here")], [
            Contender("worker_http", "pg_teller worker, 8 clients submit"),
            Contender("app_http", "application worker in Python, 16 threads"),
        ], [
            Figure("worker_http", "app_http", "19", {"both here": 3}),
        ], [
            Check("operations settled", "SELECT count(*) FROM teller.operation"
                  " WHERE state = 'settled'", {"worker_http": 1}),
            Check("payouts made by hand",
                  "SELECT count(*) FROM h.payout WHERE state = 'settled'",
                  {"app_http": 1}),
            HAND_BALANCES,
        ], setup=("books.sql",), unit="per second", per="withdrawal"),
    "wire": Group(
        "From the commit of a withdrawal to its first byte", "wire",
        [Setting("p50", 50), Setting("p99", 99)], [
            Contender("worker_wire", "pg_teller worker"),
            Contender("app_wire", "LISTEN, then claim and call, in Python"),
        ], [
            Figure("worker_wire", "app_wire", "20", {"p50": 0.7, "p99": 0.7},
                   most=True),
        ], [
            Check("operations settled", "SELECT count(*) FROM teller.operation"
                  " WHERE state = 'settled'", {"worker_wire": 1}),
            Check("payouts made by hand",
                  "SELECT count(*) FROM h.payout WHERE state = 'settled'",
                  {"app_wire": 1}),
            HAND_BALANCES,
        ], setup=("books.sql", "wire.sql"), unit="ms", accounts=10000),
    "growth": Group(
        "Calls as the journal grows, {clients} clients", "growth", SIZES, [
            Contender("transfer", "teller.transfer"),
            Contender("hold_capture", "teller.hold, then teller.capture"),
            Contender("balance", "teller.balance"),
            Contender("statement_new", "teller.statement, 50 of the last 150 rows"),
            Contender("statement", "teller.statement, any 50 rows"),
            Contender("balance_at_new", "teller.balance_at, the last hundredth"),
            Contender("balance_at", "teller.balance_at, any time"),
        ], [
            Figure("transfer", "transfer", "21", {LARGE: 0.8}, against=SMALL),
            Figure("hold_capture", "hold_capture", None, {LARGE: 0.8},
                   against=SMALL),
            # the time of a call is one over the calls per second
            *(Figure(name, name, "22", {SMALL: 1.5}, against=LARGE, most=True)
              for name in ("balance", "statement_new", "statement",
                           "balance_at_new", "balance_at")),
        ], accounts=100, apart=True),
    "checks": Group(
        "Checks as the journal grows", "growth", SIZES, [
            Contender("full", "teller.mark_verified, full"),
            Contender("quick", "teller.verify, quick, after 1000 transfers"),
        ], [], unit="seconds", per="check", accounts=100, apart=True),
    "sweep": Group(
        "Due holds expired, one session", "sweep", HOLDS, [
            Contender("worker", "pg_teller worker"),
            Contender("sweep", "hand-written SKIP LOCKED, 1000 in one statement"),
            Contender("sweep_loop", "the same in PL/pgSQL, row by row",
                      settings=("100000 holds",)),
        ], [
            Figure("worker", "sweep", "16", {"1000000 holds": 3}),
            Figure("worker", "sweep_loop"),
        ], [
            Check("holds expired", "SELECT count(*) FROM teller.journal"
                  " WHERE kind = 'expire' AND debit_account <> 0", {"worker": 1}),
            Check("holds expired by hand", "SELECT count(*) FROM h.journal"
                  " WHERE kind = 'expire'", {"sweep": 1, "sweep_loop": 1}),
            HAND_BALANCES,
        ], setup=("growth.sql", "sweep.sql"), unit="per second", per="hold",
        apart=True),
    "backlog": Group(
        "A backlog of withdrawals", "backlog",
        [Setting("100 operations", 100), Setting("100000 operations", 100000)], [
            Contender("memory", "the worker's own memory, at most"),
            Contender("limit", "what it may be"),
        ], [
            Figure("memory", "limit", "23", {"100000 operations": 1}, most=True),
            Figure("memory", "memory", "23", {"100000 operations": 1.5},
                   against="100 operations", most=True),
        ], [
            Check("operations settled", "SELECT count(*) FROM teller.operation"
                  " WHERE state = 'settled'", {"memory": 1}),
        ], setup=("backlog.sql",), unit="MB", accounts=1000, database="shop",
        apart=True),
}

# What scripts take from outside, as a driver would pass it.
VARIABLES = {
    "note": "seen by the night shift",
    "changes": '{"note": "seen by the night shift"}',
    "order": '{"item": "A-1001", "units": 2, "to": "the back door"}',
    "answer": '{"order": 4711, "state": "accepted"}',
}


def choose(words):
    """The groups, each with the contenders and the settings that the words ask
    for; no word for all that are not apart.  A word is a group, a row, or the first contender of
    a figure.  ValueError for another."""
    chosen = {name: set() for name in GROUPS}  # pairs of contender and setting
    for word in words or [n for n, group in GROUPS.items() if not group.apart]:
        pairs = dict(asked_for(word))
        if not pairs:
            raise ValueError("nothing measured is called %s; there are %s" % (
                word, ", ".join(names())))
        for name, found in pairs.items():
            chosen[name] |= found
    return {name: narrowed(name, pairs)
            for name, pairs in chosen.items() if pairs}


def asked_for(word):
    """Yields a group's name and its pairs of contender and setting."""
    for name, group in GROUPS.items():
        if word == name:
            yield name, {(c.name, s.name) for c in group.contenders
                         for s in group.settings_of(c)}
            continue
        found = set()
        for figure in group.figures:
            if word in (figure.row, figure.one):
                for setting in figure.targets or [s.name for s in group.settings]:
                    found.add((figure.one, setting))
                    found.add((figure.other, figure.against or setting))
        if found:
            yield name, found


def narrowed(name, pairs):
    group = GROUPS[name]
    contenders = [
        c._replace(settings=tuple(s.name for s in group.settings_of(c)
                                  if (c.name, s.name) in pairs))
        for c in group.contenders]
    return group._replace(
        name=name, contenders=[c for c in contenders if c.settings],
        settings=[s for s in group.settings
                  if any(s.name == setting for _, setting in pairs)])


def row_order(row):
    """16 before 16b before 17."""
    digits = row.rstrip("abc")
    return int(digits), row


def names():
    figures = [f for group in GROUPS.values() for f in group.figures]
    rows = sorted({f.row for f in figures if f.row}, key=row_order)
    return [*GROUPS, *rows, *dict.fromkeys(f.one for f in figures)]


if __name__ == "__main__":  # says whether there is all of what is asked for
    try:
        choose(sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))
