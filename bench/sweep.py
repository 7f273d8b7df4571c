"""The sweep of due holds: the worker, and what one writes by hand.

The number of a setting is that of the holds, which are all due when the clock
starts.  Each contender has tables of its own, and one session.
"""

import threading
import time

BATCH = 1000
NEVER = threading.Event()


def jobs(bench, group):
    return []


def alone(bench, group):
    """In turns; a run with many rounds has three of these, which are long."""
    for number in range(min(bench.options.rounds, 3)):
        for setting in group.settings:
            holds = setting.number if not bench.options.smoke else 2000
            for contender in bench.contenders_left(group):
                if setting in group.settings_of(contender):
                    measure(bench, group, contender, setting, holds)


def measure(bench, group, contender, setting, holds):
    database = bench.database(group)
    schema = "teller" if contender.name == "worker" else "h"
    with bench.connect(database) as connection:
        swept = swept_so_far(connection, database)
        connection.execute("CALL growth.load_holds('%s', %d, %d)" % (
            schema, bench.accounts(group), holds))
        before = bench.cpu_s()
        started = time.monotonic()
        if contender.name == "worker":
            wait_for(connection, database, swept + holds + 1)
        else:
            by_hand(connection, contender.name)
        seconds = time.monotonic() - started
        cpu_ms = (bench.cpu_s() - before) * 1000
        left = connection.execute(
            "SELECT count(*) FROM %s.hold WHERE state = 'open'" % schema
        ).fetchone()[0]
        if left:
            raise RuntimeError("%s left %d holds" % (contender.name, left))
        connection.execute("VACUUM ANALYZE")
    bench.note(group, contender.name, setting.name, holds / seconds,
               cpu_ms / holds)
    bench.count(group, contender.name, holds)


def by_hand(connection, function):
    while connection.execute(
            "SELECT h.%s(%d)" % (function, BATCH)).fetchone()[0]:
        pass


def swept_so_far(connection, database):
    """From shared memory; none while there is no worker yet."""
    row = connection.execute("SELECT swept FROM teller.worker_status"
                             " WHERE database = %s", (database,)).fetchone()
    return row[0] if row else 0


def wait_for(connection, database, swept):
    until = time.monotonic() + 900
    while swept_so_far(connection, database) < swept:
        if time.monotonic() > until:
            raise RuntimeError("the holds are not swept")
        NEVER.wait(0.01)
