"""What is measured: groups of contenders, and the targets their ratios have.

A contender that is not settling has a pgbench script in bench/scripts under
its name.  The numbers of the rows are those of the table in bench/README.md.
"""

import sys
from typing import NamedTuple, Optional


class Contender(NamedTuple):
    name: str
    title: str


class Group(NamedTuple):
    setup: str  # the SQL file that makes its tables
    settles: bool  # else calls, counted by pgbench
    contenders: list


class Figure(NamedTuple):
    """A ratio of two medians.  A target of None is none."""

    one: str
    other: str
    row: Optional[int] = None
    on: Optional[float] = None  # the least tps ratio with synchronous_commit on
    off: Optional[float] = None  # and off


GROUPS = {
    "movements": Group("books.sql", False, [
        Contender("transfer", "teller.transfer"),
        Contender("transfer_key", "teller.transfer with a key"),
        Contender("cte", "hand-written SQL, one statement"),
        Contender("plpgsql", "hand-written PL/pgSQL function"),
        Contender("insert", "bare INSERT of one journal row"),
    ]),
    "any_table": Group("any_table.sql", False, [
        Contender("row_debit", "teller.row_debit"),
        Contender("update_debit", "hand-written UPDATE"),
        Contender("row_debit_text", "teller.row_debit, text key, integer"),
        Contender("update_debit_text", "hand-written UPDATE, text key, integer"),
        Contender("row_credit", "teller.row_credit"),
        Contender("update_credit", "hand-written UPDATE"),
        Contender("row_update", "SELECT, then teller.row_update"),
        Contender("update_version", "SELECT, then hand-written UPDATE"),
        Contender("lock_rows", "teller.lock_rows of 100 ids"),
        Contender("select_lock", "hand-written SELECT FOR NO KEY UPDATE"),
        Contender("request", "teller.begin_request, finish_request"),
        Contender("insert_request", "hand-written INSERT ON CONFLICT, UPDATE"),
    ]),
    "withdrawals": Group("books.sql", True, [
        Contender("worker", "pg_teller worker"),
        Contender("app", "application worker in Python, 16 threads"),
        Contender("direct", "teller_remote.execute, 16 clients"),
    ]),
}

FIGURES = [
    Figure("transfer", "cte", 1, 1.45, 1.7),
    Figure("transfer", "plpgsql", 2, 1.3, 1.5),
    Figure("transfer", "insert", 3, 0.85, 0.85),
    Figure("transfer_key", "transfer", 5, 0.8, 0.8),
    Figure("row_debit", "update_debit", 14, 0.9, 0.9),
    Figure("row_debit_text", "update_debit_text"),
    Figure("row_credit", "update_credit"),
    Figure("row_update", "update_version"),
    Figure("lock_rows", "select_lock", 15, 1.0, 1.0),
    Figure("request", "insert_request"),
    Figure("worker", "app", 17, 5),
    Figure("worker", "direct", 18, 0.5),
]

# What scripts take from outside, as a driver would pass it.
VARIABLES = {
    "note": "seen by the night shift",
    "changes": '{"note": "seen by the night shift"}',
    "order": '{"item": "A-1001", "units": 2, "to": "the back door"}',
    "answer": '{"order": 4711, "state": "accepted"}',
}


def choose(words):
    """The groups, each with the contenders that the words ask for; no word for
    all.  A word is a group, a row, or the first contender of a figure.
    ValueError for another."""
    wanted = set()
    for word in words or GROUPS:
        if word in GROUPS:
            wanted.update(c.name for c in GROUPS[word].contenders)
            continue
        figures = [f for f in FIGURES if word in (str(f.row), f.one)]
        if not figures:
            raise ValueError("nothing measured is called %s; there are %s" % (
                word, ", ".join(names())))
        for figure in figures:
            wanted.update((figure.one, figure.other))
    chosen = {}
    for name, group in GROUPS.items():
        contenders = [c for c in group.contenders if c.name in wanted]
        if contenders:
            chosen[name] = group._replace(contenders=contenders)
    return chosen


def names():
    rows = sorted({f.row for f in FIGURES if f.row is not None})
    return [*GROUPS, *map(str, rows), *dict.fromkeys(f.one for f in FIGURES)]


if __name__ == "__main__":  # says whether there is all of what is asked for
    try:
        choose(sys.argv[1:])
    except ValueError as error:
        sys.exit(str(error))
