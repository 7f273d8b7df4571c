#!/usr/bin/python3
"""A randomised run over tables that are not pg_teller's: layer 1 and SQL by hand.

Many clients change a few rows at once, by calls and by hand, in transactions
of every sort and isolation level, with savepoints, exception blocks, cancels,
kills and short lock timeouts.  Every transaction that commits leaves the list
of its effects in a table, each with its place in the history of its row, taken
while the row was locked.  Afterwards a model replays the histories, and every
answer and every refusal must be what the model says.

The same seed gives the same plan; the timing is the machine's.
"""

import argparse
import decimal
import functools
import json
import sys
import threading
import time

import psycopg
from psycopg.rows import dict_row
from psycopg.types.json import set_json_loads

import verdict
from actor import Actor, Keeper, Watcher
from asking import Desk
from client import Budget, Disturber
from table import make_tables

PHASES = (("orderly", 0.6), ("wild", 0.4))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", default="1")
    parser.add_argument("--calls", type=int, default=12000)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--disturb-ms", type=float, default=20,
                        help="mean time between two disturbances, 0 for none")
    return parser.parse_args()


def run_phases(options, actors):
    for phase, share in PHASES:
        budget = Budget(int(options.calls * share))
        threads = [
            threading.Thread(target=actor.work, args=(phase, budget), daemon=True)
            for actor in actors
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def run(options, desk):
    actors = [Actor(n, options, desk) for n in range(1, options.clients + 1)]
    for actor in actors:
        actor.others = [other for other in actors if other is not actor]
    watcher = Watcher()
    keeper = Keeper(desk)
    disturber = Disturber(options.seed, actors, options.disturb_ms / 1000)
    watcher.start()
    keeper.start()
    if options.disturb_ms > 0:
        disturber.start()
    run_phases(options, actors)
    for thread in (disturber, watcher, keeper):
        thread.stop.set()
        if thread.ident is not None:
            thread.join()
    for actor in actors:
        actor.close()
    return actors, (watcher, disturber, keeper)


def main():
    options = parse()
    print("rows: seed %s, %d calls, %d clients" % (
        options.seed, options.calls, options.clients), flush=True)
    set_json_loads(functools.partial(json.loads, parse_float=decimal.Decimal))
    desk = Desk("rows-%d" % time.time())
    with psycopg.connect("application_name=rows", autocommit=True,
                         row_factory=dict_row) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_teller")
        make_tables(connection)
        started = time.monotonic()
        actors, companions = run(options, desk)
        seconds = time.monotonic() - started
        failed = verdict.everything(
            connection, desk, actors, companions, seconds, options)
        if not failed:
            connection.execute("DROP SCHEMA teller_rows CASCADE")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
