#!/usr/bin/python3
"""A randomised run: many clients, every sort of transaction, cancels and kills.

Each client logs what it was told.  Afterwards the log alone says what must be
in the books: everything that was acknowledged, once; nothing that was refused
or rolled back; what is unknown, because the connection was lost, either way.
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
from psycopg.types.json import Jsonb, set_json_loads

import check
from client import Budget, Client, Disturber, Watcher
from request import WORLD, Pool

GUARD = """
CREATE SCHEMA IF NOT EXISTS teller_model;
CREATE OR REPLACE FUNCTION teller_model.guard(call text, undo boolean) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
BEGIN
    EXECUTE 'SELECT jsonb_build_object(''rows'', jsonb_agg(to_jsonb(c))) FROM ' || call || ' AS c' INTO answer;
    IF undo THEN
        RAISE SQLSTATE 'MD001';
    END IF;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    RETURN jsonb_build_object('sqlstate', SQLSTATE);
END $$;
"""
FUNDS = decimal.Decimal("100.00")
PHASES = (("orderly", 0.6), ("wild", 0.4))


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", default="1")
    parser.add_argument("--calls", type=int, default=6000)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--accounts", type=int, default=20)
    parser.add_argument("--disturb-ms", type=float, default=20,
                        help="mean time between two disturbances, 0 for none")
    options = parser.parse_args()
    options.funds = FUNDS
    return options


def limits(account):
    """Most accounts stop at zero; some may go below, some have a maximum."""
    if account == WORLD:
        return None, None
    minimum = decimal.Decimal(-50 if account % 7 == 3 else 0)
    maximum = decimal.Decimal(200) if account % 5 == 4 else None
    return minimum, maximum


def make_ledger(connection, accounts):
    ledger = connection.execute(
        "SELECT greatest(max(ledger_id), 700000) + 1 FROM teller.ledger"
    ).fetchone()[0]
    connection.execute("SELECT teller.create_ledger(%s, 'model')", (ledger,))
    connection.execute("SELECT teller.create_asset('USD', 2)")
    for account in accounts:
        minimum, maximum = limits(account)
        connection.execute(
            "SELECT teller.open_account(%s, %s, 'USD', min_balance => %s,"
            " max_balance => %s)", (ledger, account, minimum, maximum))
    for account in accounts[1:]:
        connection.execute(
            "SELECT * FROM teller.transfer(%s, %s, %s, %s, metadata => %s)",
            (ledger, WORLD, account, FUNDS, Jsonb({"opening": True})))
    return ledger


def run_phases(options, clients):
    for phase, share in PHASES:
        budget = Budget(int(options.calls * share))
        threads = [
            threading.Thread(target=client.work, args=(phase, budget), daemon=True)
            for client in clients
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


def run(options, ledger, accounts):
    """Everybody at work; the clients with their logs, and who was beside."""
    pool = Pool(accounts)
    clients = [Client(n, options, ledger, pool) for n in range(options.clients)]
    watcher = Watcher(ledger)
    disturber = Disturber(options.seed, clients, options.disturb_ms / 1000)
    watcher.start()
    if options.disturb_ms > 0:
        disturber.start()
    run_phases(options, clients)
    for thread in (disturber, watcher):
        thread.stop.set()
        if thread.ident is not None:
            thread.join()
    for client in clients:
        client.close()
    return clients, watcher, disturber


def main():
    options = parse()
    set_json_loads(functools.partial(json.loads, parse_float=decimal.Decimal))
    accounts = list(range(WORLD, options.accounts + 1))
    with psycopg.connect("application_name=model", autocommit=True) as connection:
        connection.execute("CREATE EXTENSION IF NOT EXISTS pg_teller")
        connection.execute(GUARD)
        ledger = make_ledger(connection, accounts)
        expired = check.count_expired(connection)
        started = time.monotonic()
        clients, watcher, disturber = run(options, ledger, accounts)
        seconds = time.monotonic() - started
        connection.execute("DROP SCHEMA teller_model CASCADE")
        failed = check.everything(
            connection, ledger, clients, watcher, disturber, expired, seconds,
            options)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
