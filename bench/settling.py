"""Withdrawals, counted from the first call until all of them are settled.

The group `http` has a database of its own, and a service on this machine in place
of the bank."""

import os
import subprocess
import sys

import threading
import time

import app_worker

NEVER = threading.Event()
service = None  # the process
port = None  # where it listens


def jobs(bench, group):
    return [(settle, (bench, group, contender, setting))
            for contender in bench.contenders_left(group)
            for setting in group.settings_of(contender)
            if bench.options.settle]


def prepare(bench, group):
    global service, port
    if group.name != "http":
        return
    service = subprocess.Popen(
        [sys.executable,
         os.path.join(os.path.dirname(os.path.abspath(__file__)), "http_service.py")],
        stdout=subprocess.PIPE)
    port = int(service.stdout.readline())
    with bench.connect(bench.database(group)) as connection:
        connection.execute(
            "CREATE SERVER bank FOREIGN DATA WRAPPER teller_http OPTIONS ("
            "url 'http://127.0.0.1:%d', allow_insecure 'on', allow_private 'on')"
            % port)
        connection.execute("CREATE USER MAPPING FOR PUBLIC SERVER bank")
        connection.execute("SELECT teller.set_settlement_account(1, 'bank', 2)")


def problems(bench, group):
    """Nothing is wrong; the service is not needed any more."""
    if group.name == "http":
        service.terminate()
        service.wait()
    return []


def settle(bench, group, contender, setting):
    ways = {"direct": call_the_bank, "app": app_settles,
            "worker": withdraw_and_wait, "worker_http": withdraw_and_wait,
            "app_http": app_settles_http}
    before = bench.cpu_s()
    number, seconds = ways[contender.name](bench, group)
    cpu_ms = (bench.cpu_s() - before) * 1000
    bench.note(group, contender.name, setting.name, number / seconds,
               cpu_ms / number)
    bench.count(group, contender.name, number)


def call_the_bank(bench, group):
    """No book of one's own."""
    each = max(bench.options.settle // 16, 1)
    started = time.monotonic()
    bench.pgbench("execute", "bank", ["-t", str(each)], 16,
                  bench.accounts(group), user="shop")
    return each * 16, time.monotonic() - started


def app_settles(bench, group):
    number = bench.options.settle // 8 * 8
    return number, app_worker.measure(
        bench.dsn("shop"), bench.dsn("bank", "shop"), number,
        lambda: bench.pgbench("submit", "shop", ["-t", str(number // 8)], 8,
                              bench.accounts(group)))


def app_settles_http(bench, group):
    number = bench.options.settle // 8 * 8
    database = bench.database(group)
    return number, app_worker.measure(
        bench.dsn(database), port, number,
        lambda: bench.pgbench("submit", database, ["-t", str(number // 8)], 8,
                              bench.accounts(group)),
        kind=app_worker.HttpAppWorker)


def settled_so_far(connection):
    return connection.execute(
        "SELECT settled FROM teller.worker_status"
        " WHERE database = current_database()"
    ).fetchone()[0]


def withdraw_and_wait(bench, group):
    """8 clients submit; over when the worker has settled as many more.
    Its counter is in shared memory: looking at it costs the run nothing."""
    number = bench.options.settle // 8 * 8
    started = time.monotonic()
    database = bench.database(group)
    with bench.connect(database) as connection:
        wanted = settled_so_far(connection) + number
        bench.pgbench("withdraw", database, ["-t", str(number // 8)], 8,
                      bench.accounts(group))
        while settled_so_far(connection) < wanted:
            if time.monotonic() > started + 600:
                raise RuntimeError("the withdrawals do not end")
            NEVER.wait(0.01)
    return number, time.monotonic() - started
