#!/usr/bin/python3
"""Thousands of overlapping lock_rows calls by many clients over a few rows.

Every call is a transaction of its own: a random set of ids in random order, a
random strength, and now and then nowait, skip or an interval.  Half of them go
on to change a row that they have locked.  With --plant the same sets are locked
by hand instead, one SELECT ... FOR ... for each id in the order given, which
must deadlock: a run that cannot fail proves nothing.

The connection comes from the environment (PGHOST, PGPORT, PGUSER, PGDATABASE).
The schema teller_lock_storm is made anew, and dropped at the end.
"""

import argparse
import random
import sys
import threading
import time

import psycopg

SCHEMA = "teller_lock_storm"
ROWS = 30
DEADLOCK = "40P01"
TAKEN = "55P03"
EXCLUSIVE = ("update", "no key update")

MAKE = f"""
DROP SCHEMA IF EXISTS {SCHEMA} CASCADE;
CREATE SCHEMA {SCHEMA};
CREATE TABLE {SCHEMA}.plain (id int PRIMARY KEY, changes int NOT NULL DEFAULT 0);
CREATE TABLE {SCHEMA}.parts (id int PRIMARY KEY, changes int NOT NULL DEFAULT 0)
    PARTITION BY HASH (id);
CREATE TABLE {SCHEMA}.parts_0 PARTITION OF {SCHEMA}.parts
    FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE {SCHEMA}.parts_1 PARTITION OF {SCHEMA}.parts
    FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO {SCHEMA}.plain SELECT generate_series(1, {ROWS});
INSERT INTO {SCHEMA}.parts SELECT generate_series(1, {ROWS});
"""


class Claims:
    """Prints one line for each claim and remembers whether all held."""

    def __init__(self):
        self.failed = False

    def that(self, holds, claim, detail=""):
        self.failed = self.failed or not holds
        print(
            "%s - %s%s" % ("ok" if holds else "not ok", claim, detail and ": " + detail),
            flush=True,
        )


class Desk:
    """Gives out the calls and collects what became of them."""

    def __init__(self, calls):
        self.lock = threading.Lock()
        self.left = calls
        self.ended = 0
        self.refused = 0
        self.deadlocks = 0
        self.surprises = []
        self.changes = {"plain": [0] * (ROWS + 1), "parts": [0] * (ROWS + 1)}

    def take(self):
        with self.lock:
            if self.left == 0:
                return False
            self.left -= 1
            return True

    def close(self):
        with self.lock:
            self.left = 0

    def surprise(self, what):
        with self.lock:
            self.surprises.append(what)

    def end(self, call, sqlstate, changed):
        with self.lock:
            self.ended += 1
            if changed is not None:
                self.changes[call.table][changed] += 1
            if sqlstate == DEADLOCK:
                self.deadlocks += 1
            elif sqlstate == TAKEN and call.wait not in ("block", "skip"):
                self.refused += 1
            elif sqlstate is not None:
                self.surprises.append("%s from %s" % (sqlstate, call))


class Call:
    """One transaction, as the seed has it."""

    def __init__(self, chance):
        self.table = chance.choices(("plain", "parts"), (3, 1))[0]
        self.ids = chance.choices(range(1, ROWS + 1), k=chance.randint(2, 12))
        self.strength = chance.choice(EXCLUSIVE + ("share",))
        self.wait = chance.choices(
            ("block", "nowait", "skip", "%d ms" % chance.randint(1, 200)),
            (14, 1, 2, 3),
        )[0]
        self.change = chance.random() < 0.5 and self.strength in EXCLUSIVE
        self.replace = chance.random() < 0.2 and self.strength == "update"
        self.as_text = chance.random() < 0.3

    def __str__(self):
        return "%s %s, %s, %s" % (self.table, self.ids, self.wait, self.strength)


class Client(threading.Thread):
    """Makes calls until none is left."""

    def __init__(self, number, options, desk):
        super().__init__(daemon=True)
        self.chance = random.Random("%s/%d" % (options.seed, number))
        self.plant = options.plant
        self.desk = desk

    def run(self):
        try:
            with psycopg.connect("", autocommit=True) as connection:
                connection.execute("SET statement_timeout = '60s'")
                connection.execute("SET deadlock_timeout = '100ms'")
                while self.desk.take():
                    self.make(connection, Call(self.chance))
        except Exception as error:
            self.desk.surprise("client: %r" % error)

    def make(self, connection, call):
        sqlstate = changed = None
        try:
            with connection.transaction():
                if self.plant:
                    locked = self.lock_by_hand(connection, call)
                else:
                    locked = self.lock(connection, call)
                if locked and (call.change or call.replace):
                    changed = self.chance.choice(locked)
                    self.change(connection, call, changed)
        except psycopg.Error as error:
            sqlstate = error.sqlstate or repr(error)
            changed = None
        self.desk.end(call, sqlstate, changed)
        if self.plant and sqlstate == DEADLOCK:
            self.desk.close()

    def lock(self, connection, call):
        ids = "{%s}" % ",".join(map(str, call.ids)) if call.as_text else call.ids
        answer = connection.execute(
            "SELECT id::int FROM teller.lock_rows(%%s, %%s%s, %%s, %%s) AS id"
            % ("::text" if call.as_text else "::int[]"),
            (SCHEMA + "." + call.table, ids, call.wait, call.strength),
        ).fetchall()
        locked = [row[0] for row in answer]
        expected = sorted(set(call.ids))
        if call.wait == "skip":
            expected = [id for id in expected if id in locked]
        if locked != expected:
            self.desk.surprise("%s answered %s" % (call, locked))
        return locked

    def lock_by_hand(self, connection, call):
        for id in call.ids:
            connection.execute(
                "SELECT FROM %s.%s WHERE id = %%s FOR %s"
                % (SCHEMA, call.table, call.strength),
                (id,),
            )
        return call.ids

    def change(self, connection, call, id):
        """Add one by reading and writing, which is safe under the lock alone."""
        table = "%s.%s" % (SCHEMA, call.table)
        read = "SELECT changes FROM %s WHERE id = %%s" % table
        changes = connection.execute(read, (id,)).fetchone()[0] + 1
        if call.replace:
            connection.execute("DELETE FROM %s WHERE id = %%s" % table, (id,))
            connection.execute(
                "INSERT INTO %s VALUES (%%s, %%s)" % table, (id, changes)
            )
        else:
            connection.execute(
                "UPDATE %s SET changes = %%s WHERE id = %%s" % table, (changes, id)
            )


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=10000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seed", default="1")
    parser.add_argument("--limit-s", type=float, default=300,
                        help="seconds after which a call counts as hanging")
    parser.add_argument("--plant", action="store_true",
                        help="lock by hand in the order given")
    return parser.parse_args()


def storm(options, desk):
    """True if every client came to its end."""
    clients = [Client(n, options, desk) for n in range(options.clients)]
    until = time.monotonic() + options.limit_s
    for client in clients:
        client.start()
    for client in clients:
        client.join(max(0, until - time.monotonic()))
    return not any(client.is_alive() for client in clients)


def lost_changes(connection, desk):
    return [
        "%s %d has %d of %d" % (table, id, changes, desk.changes[table][id])
        for table in desk.changes
        for id, changes in connection.execute(
            "SELECT id, changes FROM %s.%s ORDER BY id" % (SCHEMA, table)
        )
        if changes != desk.changes[table][id]
    ]


def main():
    options = parse()
    claims = Claims()
    desk = Desk(options.calls)
    with psycopg.connect("", autocommit=True) as connection:
        connection.execute("SET client_min_messages = warning")
        connection.execute(MAKE)
        start = time.monotonic()
        all_ended = storm(options, desk)
        took_s = time.monotonic() - start
        claims.that(
            desk.deadlocks == 0, "no deadlock", "" if not desk.deadlocks else
            "%d of %d calls" % (desk.deadlocks, desk.ended)
        )
        claims.that(all_ended, "no call hangs")
        if not options.plant:
            claims.that(
                desk.ended == options.calls,
                "%d calls by %d clients over %d rows were made and ended"
                % (options.calls, options.clients, ROWS),
                "%d in %.1f s, %d of them refused as asked"
                % (desk.ended, took_s, desk.refused),
            )
            claims.that(
                not desk.surprises,
                "every answer is the set asked for, in order, or what was free of it",
                "; ".join(desk.surprises[:3]),
            )
            lost = lost_changes(connection, desk)
            claims.that(
                not lost, "no change made under a lock is lost", "; ".join(lost[:3])
            )
        if all_ended:
            connection.execute("DROP SCHEMA %s CASCADE" % SCHEMA)
    sys.exit(1 if claims.failed else 0)


if __name__ == "__main__":
    main()
