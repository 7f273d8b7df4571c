"""The memory of the worker while it works off a backlog of operations.

They are submitted while it may not dispatch.  The number of a setting is that
of the operations.  What counts is the memory that the worker shares with
nobody, looked at again and again until all are settled.
"""

import threading
import time

CLIENTS = 4
LIMIT_MB = 64
NEVER = threading.Event()


def jobs(bench, group):
    return []


def alone(bench, group):
    """The small one first: a process seldom gives memory back."""
    contender = group.contender("memory")
    for setting in group.ordered_settings_of(contender):
        bench.note(group, "memory", setting.name,
                   work_off(bench, group, setting.number))
        bench.note(group, "limit", setting.name, LIMIT_MB)


def dispatch(connection, on):
    connection.execute("ALTER SYSTEM SET teller.dispatch = %s" % on)
    connection.execute("SELECT pg_reload_conf()")


def status(connection):
    return connection.execute(
        "SELECT pid, settled, dispatch FROM teller.worker_status"
        " WHERE database = 'shop'").fetchone()


def work_off(bench, group, number):
    with bench.connect("shop") as connection:
        dispatch(connection, "off")
        until = time.monotonic() + 600
        while status(connection)[2]:
            wait(until)
        wanted = status(connection)[1] + number
        bench.pgbench("withdraw", "shop", ["-t", str(number // CLIENTS)],
                      CLIENTS, bench.accounts(group))
        dispatch(connection, "on")
        most = 0
        while True:
            pid, settled, _ = status(connection)
            most = max(most, own_mb(pid))
            if settled >= wanted:
                break
            wait(until)
    bench.count(group, "memory", number)
    return most


def own_mb(pid):
    with open("/proc/%d/status" % pid) as file:
        for line in file:
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) / 1024
    raise RuntimeError("the kernel does not tell of RssAnon")


def wait(until):
    if time.monotonic() > until:
        raise RuntimeError("the operations are not settled")
    NEVER.wait(0.02)
