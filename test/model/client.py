"""The clients of the model: transactions of all sorts, and who disturbs them."""

import datetime
import threading

import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from request import KnownHold, KnownRow, Mix, typed

# A call and the transaction that it was made in: read when the rows are there.
CALLED = "SELECT *, pg_current_xact_id_if_assigned()::text::bigint AS tx FROM "
NEVER = threading.Event()  # nobody sets it: waiting on it is a pause
LEVELS = ("REPEATABLE READ", "SERIALIZABLE")


class Lost(Exception):
    """The connection is gone."""


class Undone(Exception):
    """An error ended the transaction, or its last savepoint."""


class Call:
    """
    One call and what the client knows of it.  A batch is a call with parts: one
    for each item, as if it had been called alone.
    """

    def __init__(self, request, whole=None):
        self.request = request
        self.whole = whole or self
        self.sent = datetime.datetime.now(datetime.timezone.utc)
        self.answer = None  # the row, once it came
        self.tx = None  # the id of its transaction then, if it had one
        self.error = None  # the SQLSTATE, or "lost"
        self.taken_back = False
        self.parts = [self]
        if request.items != [request]:
            self.parts = [Call(item, self) for item in request.items]

    @property
    def undone(self):
        """By a savepoint or an exception block."""
        return self.whole.taken_back

    @property
    def done(self):
        """It was answered with an effect, or with the replay of one."""
        return (self.answer is not None and not self.undone
                and self.answer["status"] != "denied")

    def take(self, rows):
        """The answer: a row for each part."""
        for part, row in zip(self.parts, rows):
            part.tx = row.pop("tx")
            part.answer = row
        self.answer = rows[0]


class Transaction:
    """shape: one (call), locked (first) or loose; fate: how it ended."""

    def __init__(self, shape, level, phase):
        self.shape = shape
        self.level = level
        self.phase = phase
        self.calls = []
        self.errors = []
        self.sweeps = 0
        self.swept = 0  # holds, as the sweep said
        self.fate = "rolled back"

    @property
    def parts(self):
        return [part for call in self.calls for part in call.parts]


class Budget:
    """How many calls are still to be made, by all clients together."""

    def __init__(self, calls):
        self.left = calls
        self.lock = threading.Lock()

    def take(self):
        with self.lock:
            self.left -= 1
            return self.left >= 0


class Client:
    """Makes transactions until the budget is spent; logs every one."""

    def __init__(self, number, options, ledger, pool):
        self.mix = Mix("%s-%d" % (options.seed, number), pool)
        self.pool = pool
        self.ledger = ledger
        self.log = []
        self.warnings = []
        self.crash = None
        self.pid = None
        self.connection = None
        self.budget = None
        self.phase = None

    # ---- the connection ---------------------------------------------------

    def connect(self):
        self.connection = psycopg.connect(
            "application_name=model", autocommit=True, row_factory=dict_row)
        self.connection.add_notice_handler(self.notice)
        self.pid = self.connection.info.backend_pid
        # Deadlocks are found soon, so that they may be many.
        self.connection.execute("SET deadlock_timeout = '20ms'")

    def notice(self, diagnostic):
        if diagnostic.severity_nonlocalized == "WARNING":
            self.warnings.append(diagnostic.message_primary)

    def execute(self, sql, parameters=None):
        """Lost if the connection went; every other error as it came."""
        try:
            return self.connection.execute(sql, parameters)
        except psycopg.Error as error:
            if self.is_lost(error):
                self.pid = None
                self.connection.close()
                raise Lost from error
            raise

    def is_lost(self, error):
        return (self.connection.closed or error.sqlstate == "57P01"
                or (error.sqlstate is None
                    and isinstance(error, psycopg.OperationalError)))

    def close(self):
        self.pid = None
        self.connection.close()

    # ---- one call ---------------------------------------------------------

    def perform(self, transaction, request, guarded=False):
        """Make the call; its answer or its error is in the log afterwards."""
        call = Call(request)
        transaction.calls.append(call)
        sql, parameters = request.call(self.ledger)
        try:
            if guarded:
                self.guard(call, sql, parameters)
                transaction.errors += [call.error] if call.error else []
            else:
                call.take(self.execute(CALLED + sql, parameters).fetchall())
        except Lost:
            call.error = "lost"
            raise
        except psycopg.Error as error:
            call.error = error.sqlstate
            transaction.errors.append(error.sqlstate)
            raise Undone from error
        return call

    def guard(self, call, sql, parameters):
        """In an exception block, which undoes it half of the time."""
        text = psycopg.ClientCursor(self.connection).mogrify(
            "(" + CALLED + sql + ")", parameters)
        undo = self.mix.maybe(0.5)
        answer = self.execute("SELECT teller_model.guard(%s, %s) AS answer",
                              (text, undo)).fetchone()["answer"]
        call.error = answer.get("sqlstate")
        call.taken_back = call.error is not None
        if call.error is None:
            call.take([typed(row) for row in answer["rows"]])

    def remember(self, transaction):
        """What others may end, change or reverse."""
        for part in transaction.parts:
            if not part.done:
                continue
            request = part.request
            if request.function == "hold":
                self.pool.add_hold(KnownHold(
                    part.answer["id"], *request.accounts, request.arguments["amount"]))
            elif request.function in ("transfer", "transfer_up_to", "capture", "reverse"):
                self.pool.add_row(KnownRow(
                    part.answer["id"], request.accounts, part.answer["amount"]))

    # ---- transactions -----------------------------------------------------

    def begin(self, level):
        self.execute("BEGIN ISOLATION LEVEL " + level)

    def commit(self, transaction):
        transaction.fate = "unknown"
        try:
            self.execute("COMMIT")
        except psycopg.Error as error:
            transaction.errors.append(error.sqlstate)
            transaction.fate = "rolled back"
            # A cancel that came before the COMMIT began leaves it to be ended.
            if self.connection.info.transaction_status != TransactionStatus.IDLE:
                self.rollback()
            return
        transaction.fate = "committed"

    def rollback(self):
        self.execute("ROLLBACK")

    def alone(self, transaction, request):
        """A transaction of its own, without BEGIN: its fate is the answer's."""
        transaction.fate = "unknown"
        try:
            self.perform(transaction, request, self.mix.maybe(0.1))
            transaction.fate = "committed"
        except Undone:
            transaction.fate = "rolled back"

    def single(self, transaction, request):
        if transaction.level == "READ COMMITTED":
            self.alone(transaction, request)
            return
        self.begin(transaction.level)
        try:
            self.perform(transaction, request)
        except Undone:
            self.rollback()
            return
        self.commit(transaction)

    def sweep(self, transaction):
        many = self.mix.chance.choice((1, 5, 1000))
        transaction.sweeps += 1
        try:
            transaction.swept = self.execute(
                "SELECT teller.expire_due(%s) AS swept", (many,)
            ).fetchone()["swept"]
            transaction.fate = "committed"
        except psycopg.Error as error:
            transaction.errors.append(error.sqlstate)

    def step(self, transaction, accounts):
        """One call of a batch, perhaps behind a savepoint."""
        saved = self.mix.maybe(0.5)
        if saved:
            self.execute("SAVEPOINT model")
        before = len(transaction.calls)
        try:
            self.perform(
                transaction,
                self.mix.request(accounts, fresh=accounts is not None),
                self.mix.maybe(0.15))
            if not saved or self.mix.maybe(0.6):
                return
        except Undone:
            if not saved:
                raise
        self.execute("ROLLBACK TO SAVEPOINT model")
        for call in transaction.calls[before:]:
            call.taken_back = True

    def batch(self, transaction):
        accounts = None
        if transaction.shape == "locked":
            accounts = self.mix.chance.sample(
                self.pool.accounts, min(5, len(self.pool.accounts)))
        self.begin(transaction.level)
        try:
            if accounts:
                self.execute("SELECT teller.lock_accounts(%s, %s::bigint[])",
                             (self.ledger, accounts))
            self.step(transaction, accounts)
            for _ in range(self.mix.chance.randint(1, 4)):
                if not self.budget.take():
                    break
                self.step(transaction, accounts)
        except Undone:
            self.rollback()
            return
        except psycopg.Error as error:
            transaction.errors.append(error.sqlstate)
            self.rollback()
            return
        if self.mix.maybe(0.75):
            self.commit(transaction)
        else:
            self.rollback()

    # ---- the run ----------------------------------------------------------

    def choose(self):
        """The next transaction; loose ones only in the phase that has them."""
        level = "READ COMMITTED"
        if self.mix.maybe(0.2):
            level = self.mix.chance.choice(LEVELS)
        shapes = ("one", "locked", "loose")
        weights = (80, 20, 0) if self.phase == "orderly" else (50, 10, 40)
        shape = self.mix.chance.choices(shapes, weights)[0]
        return Transaction(shape, level, self.phase)

    def act(self):
        transaction = self.choose()
        self.log.append(transaction)
        hasty = self.mix.maybe(0.15)
        if hasty:
            self.execute("SET lock_timeout = '%d ms'" % self.mix.chance.randint(1, 4))
        if transaction.shape != "one":
            self.batch(transaction)
        elif self.mix.maybe(0.05):
            transaction.level = "READ COMMITTED"
            self.sweep(transaction)
        else:
            self.single(transaction, self.mix.request())
        if transaction.fate == "committed":
            self.remember(transaction)
        if hasty:
            self.execute("RESET lock_timeout")

    def recover(self):
        """A new connection; what may be repeated by its key, is."""
        self.connect()
        if not self.log or self.log[-1].fate != "unknown":
            return
        for call in self.log[-1].calls:
            if call.request.key is not None and not call.undone:
                again = Transaction("one", "READ COMMITTED", self.phase)
                self.log.append(again)
                self.alone(again, call.request)

    def work(self, phase, budget):
        self.phase = phase
        self.budget = budget
        try:
            if self.connection is None:
                self.recover_until_connected()
            while self.budget.take():
                try:
                    self.act()
                except Lost:
                    self.recover_until_connected()
                except psycopg.errors.QueryCanceled:
                    self.tidy()  # it hit a SET or a ROLLBACK
        except Exception as error:  # pylint: disable=broad-except
            self.crash = "%s: %s" % (type(error).__name__, error)
            raise

    def recover_until_connected(self):
        while True:
            try:
                self.recover()
                return
            except (Lost, psycopg.OperationalError):
                NEVER.wait(0.01)

    def tidy(self):
        try:
            if self.connection.info.transaction_status != TransactionStatus.IDLE:
                self.execute("ROLLBACK")
            self.execute("RESET lock_timeout")
        except Lost:
            self.recover_until_connected()
        except psycopg.errors.QueryCanceled:
            self.connection.close()
            self.recover_until_connected()


class Companion(threading.Thread):
    """Somebody beside the clients, with a connection, until told to stop."""

    def __init__(self):
        super().__init__(daemon=True)
        self.stop = threading.Event()
        self.crash = None

    def run(self):
        try:
            with psycopg.connect("application_name=companion",
                                 autocommit=True) as connection:
                while not self.stop.wait(self.pause()):
                    self.act(connection)
        except Exception as error:  # pylint: disable=broad-except
            self.crash = "%s: %s" % (type(error).__name__, error)

    def pause(self):
        raise NotImplementedError

    def act(self, connection):
        raise NotImplementedError


class Disturber(Companion):
    """Cancels and terminates the clients' backends at random."""

    def __init__(self, seed, clients, mean_s):
        super().__init__()
        self.mix = Mix("%s-disturber" % seed, None)
        self.clients = clients
        self.mean_s = mean_s
        self.cancelled = 0
        self.terminated = 0

    def pause(self):
        return self.mix.chance.expovariate(1 / self.mean_s)

    def act(self, connection):
        pid = self.mix.chance.choice(self.clients).pid
        if pid is None:
            return
        if self.mix.maybe(0.75):
            connection.execute("SELECT pg_cancel_backend(%s)", (pid,))
            self.cancelled += 1
        else:
            connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            self.terminated += 1


class Watcher(Companion):
    """Runs verify() again and again while the clients are at work."""

    def __init__(self, ledger):
        super().__init__()
        self.ledger = ledger
        self.rounds = 0
        self.found = []

    def pause(self):
        return 0.2

    def act(self, connection):
        self.found += connection.execute(
            "SELECT * FROM teller.verify(%s)", (self.ledger,)).fetchall()
        self.rounds += 1
