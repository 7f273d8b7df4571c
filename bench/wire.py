"""From the commit of a withdrawal to its first byte on the wire, one at a time.
The contenders take turns.

A listener stands between the worker and the bank, and notes when the first byte
of a request comes.  The clock starts when the client has the answer to COMMIT.  What
is in it: that the worker hears of it, claims it, and commits the attempt to disk, which
both do before they send.  The application's worker has one thread that listens, claims and calls, which is the quickest way
there is in Python.
"""

import os
import random
import select
import socket
import statistics
import tempfile
import threading
import time

import psycopg

import app_worker

SUBMITS = {
    "worker_wire":
        "SELECT id FROM teller.withdraw(1, %s, 'wire', 1.00, 'savings', %s)",
    "app_wire": "SELECT h.submit(%s, 1.00, %s)",
}
IDLE = {
    "worker_wire": "SELECT count(*) FROM teller.operation_data"
                   " WHERE state NOT IN ('settled', 'refunded')",
    "app_wire": "SELECT count(*) FROM h.payout WHERE state <> 'settled'",
}
CALLS = 200  # of each contender in each round
WARM_UP = 20  # that are not counted: connections, plans
PAUSE_S = 0.01  # after each, so that none finds the worker with the one before
SMOKE_CALLS = 20

NEVER = threading.Event()
listener = None
scrap = None  # a file beside the server's
nonces = 0
chance = random.Random()
took = {"worker_wire": [], "app_wire": [], "flush": []}  # seconds, all rounds


class Listener:
    """Passes bytes on between its socket and the bank's."""

    def __init__(self, target):
        self.target = target
        self.directory = tempfile.mkdtemp(prefix="wire", dir="/tmp")
        os.chmod(self.directory, 0o755)
        self.path = os.path.join(self.directory, ".s.PGSQL.5432")
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(self.path)
        os.chmod(self.path, 0o777)
        self.socket.listen(64)
        self.heard = None  # when the first request since reset() began
        self.news = threading.Condition()
        threading.Thread(target=self.accept, daemon=True).start()

    def reset(self):
        with self.news:
            self.heard = None

    def wait(self, timeout_s):
        with self.news:
            if not self.news.wait_for(lambda: self.heard, timeout_s):
                raise RuntimeError("nothing came over the wire")
            return self.heard

    def accept(self):
        while True:
            try:
                client = self.socket.accept()[0]
            except OSError:
                return
            bank = socket.socket(socket.AF_UNIX)
            bank.connect(self.target)
            threading.Thread(target=self.pass_on, args=(client, bank),
                             daemon=True).start()

    def pass_on(self, client, bank):
        while True:
            for ready in select.select([client, bank], [], [])[0]:
                data = ready.recv(65536)
                now = time.monotonic()
                if ready is client:
                    with self.news:
                        if self.heard is None:
                            self.heard = now
                            self.news.notify_all()
                if not data:
                    client.close()
                    bank.close()
                    return
                (bank if ready is client else client).sendall(data)

    def close(self):
        self.socket.close()
        os.unlink(self.path)
        os.rmdir(self.directory)


class ListeningWorker(app_worker.AppWorker):
    """One thread that listens, claims, calls and records."""

    def __init__(self, shop, bank):
        super().__init__(shop, bank, threads=1, batch=8)
        self.threads = [threading.Thread(target=self.serve, daemon=True)]

    def serve(self):
        with psycopg.connect(self.shop, autocommit=True) as shop, \
                psycopg.connect(self.shop, autocommit=True) as ears, \
                self.reach() as bank:
            ears.execute("LISTEN payout")
            while self.round(shop, bank):  # what came before
                pass
            for _ in ears.notifies():
                if self.over:
                    return
                while self.round(shop, bank):
                    pass


def prepare(bench, group):
    global listener, scrap
    chance.seed(bench.options.seed)
    scrap = tempfile.TemporaryFile(dir=bench.options.data)
    listener = Listener(os.path.join(bench.options.socket,
                                     ".s.PGSQL.%d" % bench.options.port))
    with bench.connect(bench.database(group)) as connection:
        connection.execute(
            "CREATE SERVER wire FOREIGN DATA WRAPPER teller_postgres OPTIONS"
            " (host '%s', port '5432', dbname 'bank')" % listener.directory)
        connection.execute(
            "CREATE USER MAPPING FOR PUBLIC SERVER wire OPTIONS (user 'shop')")
        connection.execute("SELECT teller.set_settlement_account(1, 'wire', 3)")


def problems(bench, group):
    """Nothing is wrong; what was made for the run is not needed any more."""
    listener.close()
    scrap.close()
    return []


def jobs(bench, group):
    return [(measure, (bench, group))]


def measure(bench, group):
    """One round: the contenders in turn, call by call, so that what else the
    disk and the machine do meanwhile is the same to all of them."""
    names = [contender.name for contender in bench.contenders_left(group)]
    calls = SMOKE_CALLS if bench.options.smoke else CALLS
    database = bench.database(group)
    worker = ListeningWorker(
        bench.dsn(database), "host=%s port=5432 user=shop dbname=bank"
        % listener.directory)
    if "app_wire" in names:
        worker.start()
    with bench.connect(database) as connection:
        for number in range(WARM_UP + calls):
            chance.shuffle(names)
            for name in names:
                seconds = timed(connection, SUBMITS[name], IDLE[name])
                if number >= WARM_UP:
                    took[name].append(seconds)
                NEVER.wait(PAUSE_S)
            if number >= WARM_UP:
                took["flush"].append(flush())
                NEVER.wait(PAUSE_S)
        if "app_wire" in names:
            worker.over = True
            connection.execute("NOTIFY payout")
            worker.stop()
    for name in names:
        bench.count(group, name, calls + WARM_UP)


def alone(bench, group):
    """The percentiles of all rounds together: of one round the 99th would
    be its second worst call."""
    for contender in bench.contenders_left(group):
        for setting in group.settings_of(contender):
            bench.note(group, contender.name, setting.name,
                       1000 * percentile(took[contender.name], setting.number))
    bench.notes.append(
        "one flush, which is in each first byte, took %.2f ms at p50 and %.2f ms"
        " at p99, measured between the calls"
        % tuple(1000 * percentile(took["flush"], percent)
                for percent in (50, 99)))


def percentile(values, percent):
    return (statistics.median(values) if percent == 50 else
            sorted(values)[min(len(values) * percent // 100, len(values) - 1)])


def flush():
    """Seconds that 8 kB and fdatasync take on the server's disk."""
    started = time.monotonic()
    os.pwrite(scrap.fileno(), os.urandom(8192), 0)
    os.fdatasync(scrap.fileno())
    return time.monotonic() - started


def timed(connection, submit, idle):
    """Seconds of one withdrawal, which has ended afterwards."""
    global nonces
    nonces += 1
    connection.execute("BEGIN")
    connection.execute(submit, (1000 + nonces % 1000, str(nonces)))
    listener.reset()
    connection.execute("COMMIT")
    started = time.monotonic()
    seconds = listener.wait(30) - started
    while connection.execute(idle).fetchone()[0]:
        if time.monotonic() > started + 30:
            raise RuntimeError("the withdrawal does not end")
    return seconds
