"""Batches: teller.post, set-based SQL, and COPY of the rows that post wrote.

A round posts the same number of items in batches of each size, every batch in
a transaction of its own.  The arguments are made before the clock starts, as
text, so that the client has next to nothing to do.  The number of a setting is
that of the items of a batch, or in the group `sessions` that of the sessions.
"""

import random
import threading
import time

import psycopg

MOST_BATCHES = 1500  # of small ones in a round
SESSIONS_BATCH = 1000
TRIES = 100

POST = "SELECT * FROM teller.post(1, %s::bigint[], %s::bigint[], %s::numeric[])"
BY_HAND = "SELECT * FROM h.post(1, %s::bigint[], %s::bigint[], %s::numeric[])"
COPY_IN = "COPY h.copied FROM STDIN"
# One transaction is one batch; rows as they lie in the table.
COPY_OUT = """COPY (SELECT * FROM teller.journal
	WHERE ledger_id = 1 AND tx > %d ORDER BY tx, ctid) TO STDOUT"""
LAST_TX = "SELECT coalesce(max(tx), 0) FROM teller.journal WHERE ledger_id = 1"

TX = 20  # the place of tx in a row: a batch is a transaction

files = {}  # size of a batch: what post wrote, a file for each batch
chance = random.Random(4711)


def prepare(bench, group):
    """So that COPY has something in the first round."""
    for contender in bench.contenders_left(group):
        if contender.name == "copy":
            for setting in group.settings_of(contender):
                write_files(bench, group, setting.number)


def jobs(bench, group):
    measure = sessions if group.name == "sessions" else batches
    return [(measure, (bench, group, contender, setting))
            for contender in bench.contenders_left(group)
            for setting in group.settings_of(contender)]


def number_of_batches(bench, size):
    return max(min(bench.options.items // size, MOST_BATCHES), 1)


def arguments(accounts, size, number):
    """For so many batches: three arrays as text each."""
    made = []
    for _ in range(number):
        debits = [chance.randrange(accounts) for _ in range(size)]
        credits = [(d + chance.randrange(1, accounts)) % accounts for d in debits]
        made.append(("{%s}" % ",".join(str(1000 + d) for d in debits),
                     "{%s}" % ",".join(str(1000 + c) for c in credits),
                     "{%s}" % ",".join(["1.00"] * size)))
    return made


def batches(bench, group, contender, setting):
    size = setting.number
    if contender.name == "copy":
        if not files.get(size):
            bench.count(group, "post", write_files(bench, group, size))
        load, run = files.pop(size), copy_all
    else:
        load = arguments(bench.accounts(group), size,
                         number_of_batches(bench, size))
        run = {"post": post_all, "set_based": set_based_all}[contender.name]
    with bench.connect(bench.database(group)) as connection:
        last_tx = connection.execute(LAST_TX).fetchone()[0]
        before = bench.cpu_s()
        started = time.monotonic()
        run(connection, load)
        seconds = time.monotonic() - started
        cpu_ms = (bench.cpu_s() - before) * 1000
        if run is post_all and any(c.name == "copy" for c in group.contenders):
            files[size] = written_since(connection, last_tx)
    items = size * len(load)
    bench.note(group, contender.name, setting.name, items / seconds,
               cpu_ms * 1000 / items)
    bench.count(group, contender.name, items)


def post_all(connection, load):
    for batch in load:
        connection.execute(POST, batch, prepare=True)


def set_based_all(connection, load):
    for batch in load:
        connection.execute(BY_HAND, batch, prepare=True)


def copy_all(connection, load):
    for file in load:
        with connection.cursor().copy(COPY_IN) as copy:
            copy.write(file)


def write_files(bench, group, size):
    """Post so that there is something to copy; returns the items posted."""
    load = arguments(bench.accounts(group), size, number_of_batches(bench, size))
    with bench.connect(bench.database(group)) as connection:
        last_tx = connection.execute(LAST_TX).fetchone()[0]
        post_all(connection, load)
        files[size] = written_since(connection, last_tx)
    return size * len(load)


def written_since(connection, last_tx):
    """The journal rows since then, as COPY writes them, a file for each batch."""
    of_batch = {}
    with connection.cursor().copy(COPY_OUT % last_tx) as copy:
        rest = b""
        for block in copy:
            lines = (rest + bytes(block)).split(b"\n")
            rest = lines.pop()
            for line in lines:
                of_batch.setdefault(line.split(b"\t")[TX], []).append(line)
    return [b"\n".join(lines) + b"\n" for lines in of_batch.values()]


# ---------------------------------------------------------------------- sessions

def sessions(bench, group, contender, setting):
    """So many sessions post at once, over the same accounts."""
    load = arguments(bench.accounts(group), SESSIONS_BATCH,
                     max(number_of_batches(bench, SESSIONS_BATCH) // 2,
                         setting.number))
    shares = [load[n::setting.number] for n in range(setting.number)]
    database = bench.database(group)
    connections = [bench.connect(database) for _ in shares]
    deadlocks = []
    failures = []
    threads = [threading.Thread(target=post_share, args=(
        connection, share, deadlocks, failures))
        for connection, share in zip(connections, shares)]
    before = bench.cpu_s()
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seconds = time.monotonic() - started
    cpu_ms = (bench.cpu_s() - before) * 1000
    for connection in connections:
        connection.close()
    if failures:
        raise failures[0]
    items = SESSIONS_BATCH * len(load)
    bench.note(group, contender.name, setting.name, items / seconds,
               cpu_ms * 1000 / items)
    bench.count(group, contender.name, items)
    bench.tallies["deadlocks"] = bench.tallies.get("deadlocks", 0) + len(deadlocks)


def post_share(connection, share, deadlocks, failures):
    try:
        for batch in share:
            for _ in range(TRIES):
                try:
                    connection.execute(POST, batch, prepare=True)
                    break
                except psycopg.errors.DeadlockDetected as error:
                    deadlocks.append(error)
            else:
                raise RuntimeError("a batch met %d deadlocks" % TRIES)
    except Exception as error:  # a thread's exception is lost otherwise
        failures.append(error)


def problems(bench, group):
    if group.name != "sessions":
        return []
    deadlocks = bench.tallies.get("deadlocks", 0)
    bench.notes.append("deadlocks of sessions that posted at once: %d" % deadlocks)
    return ["%d deadlocks" % deadlocks] if deadlocks else []
