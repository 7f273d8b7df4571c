"""The books as they must be: committed state, open transactions, locks.

Everything is a value under a name like ("account", 2); a transaction is a
stack of layers over what is committed, one layer for each savepoint.  A layer
also has the names that the transaction has locked since.  Amounts are integers
in the smallest unit of the asset.  Ids that the server makes have names of
ours ("h3"); Book.ids says what the server calls them.
"""

import dataclasses
import datetime
import decimal
import typing

decimal.getcontext().prec = 1000
BOUND = 10 ** 38


@dataclasses.dataclass(frozen=True)
class Posting:
    """One side of a journal row, as the account sees it."""

    row: str
    kind: str
    side: str
    amount: int
    posted: int
    pending: int
    other: int
    hold: typing.Optional[str]
    effective: typing.Optional[str]
    metadata: typing.Optional[str]


@dataclasses.dataclass(frozen=True)
class Account:
    id: int
    asset: str
    scale: int
    name: typing.Optional[str]
    least: typing.Optional[int]  # min_balance
    most: typing.Optional[int]  # max_balance
    posted: int = 0
    pending_debit: int = 0  # of all open holds, due ones too
    pending_credit: int = 0  # the same, kept only with a maximum
    postings: tuple = ()

    @property
    def version(self):
        return len(self.postings)


@dataclasses.dataclass(frozen=True)
class Row:
    """A journal row; reversed is what reversals took back of it."""

    id: str
    kind: str
    debit: int
    credit: int
    amount: int
    reversed: int = 0

    @property
    def rest(self):
        return self.amount - self.reversed


@dataclasses.dataclass(frozen=True)
class Hold:
    id: str
    debit: int
    credit: int
    amount: int
    due: bool  # its deadline has passed by the time of the next call
    captured: int = 0
    released: int = 0
    state: str = "open"
    expires_at: typing.Any = None

    @property
    def rest(self):
        return self.amount - self.captured - self.released

    @property
    def binds(self):
        return self.state == "open" and not self.due


@dataclasses.dataclass(frozen=True)
class Key:
    """What a key stands for: function, arguments, and the answer it got."""

    key: str
    function: str
    arguments: dict
    answer: list  # rows as the server gave them


@dataclasses.dataclass(frozen=True)
class Batch:
    id: str
    rows: tuple


class Layer:
    def __init__(self, savepoint=None):
        self.savepoint = savepoint
        self.changes = {}
        self.locks = set()
        self.released = set()  # those of savepoints that were released


class View:
    """What one session sees; writes go into the topmost layer."""

    def __init__(self, committed, layers):
        self.committed = committed
        self.layers = layers

    def get(self, kind, name):
        for layer in reversed(self.layers):
            if (kind, name) in layer.changes:
                return layer.changes[kind, name]
        return self.committed.get((kind, name))

    def all(self, kind):
        """Oldest first: dictionaries keep the order in which names came."""
        found = {n: v for n, v in self.committed.items() if n[0] == kind}
        for layer in self.layers:
            found.update((n, v) for n, v in layer.changes.items() if n[0] == kind)
        return list(found.values())

    def put(self, kind, value):
        name = value.key if kind == "key" else value.id
        self.layers[-1].changes[kind, name] = value

    def change(self, kind, name, **fields):
        self.put(kind, dataclasses.replace(self.get(kind, name), **fields))

    def draft(self):
        """The same with a layer of its own, to see what a call would do."""
        return View(self.committed, self.layers + [Layer()])

    def below(self):
        """What a draft was made of: the state before the call."""
        return View(self.committed, self.layers[:-1])

    # ---- what the balances are -------------------------------------------

    def held(self, account):
        """pending_debit as it binds: holds that are due count as released."""
        return sum(h.rest for h in self.all("hold")
                   if h.binds and h.debit == account.id)

    def awaited(self, account):
        """pending_credit, likewise."""
        return sum(h.rest for h in self.all("hold")
                   if h.binds and h.credit == account.id)

    def available(self, account):
        return account.posted - self.held(account)

    def can_give(self, account):
        """None: there is no minimum."""
        if account.least is None:
            return None
        return self.available(account) - account.least

    def can_take(self, account):
        if account.most is None:
            return None
        return account.most - account.posted - self.awaited(account)


class Session:
    """A connection: its transaction's layers, and the call that waits."""

    def __init__(self, name):
        self.name = name
        self.layers = []  # empty: no transaction is open
        self.failed = False
        self.waiting = None  # the call that waits for another session
        self.awaited = None  # the lock of ours that another session waits for


class Book:
    """Committed state and the sessions."""

    def __init__(self, ledger, sessions):
        self.ledger = ledger
        self.committed = {}
        self.sessions = {name: Session(name) for name in sessions}
        self.ids = {}  # our name of it: the server's
        self.known = set()  # the server's
        self.made = 0
        self.assets = {"USD": 2, "JPY": 0, "BTC": 30}

    @staticmethod
    def seconds_until(moment):
        now = datetime.datetime.now(datetime.timezone.utc)
        return (moment - now).total_seconds()

    def make_id(self, letter):
        self.made += 1
        return "%s%d" % (letter, self.made)

    def view(self, session):
        return View(self.committed, session.layers)

    # ---- transactions ------------------------------------------------------

    def begin(self, session):
        session.layers = [Layer()]
        session.failed = False

    def commit(self, session):
        if not session.failed:
            for layer in session.layers:
                self.committed.update(layer.changes)
        self.rollback(session)

    def rollback(self, session):
        session.layers = []
        session.failed = False

    def fail(self, session):
        """An error undoes what came since the last savepoint, at once."""
        self.undo(session, session.layers[-1])
        session.layers[-1] = Layer(session.layers[-1].savepoint)
        session.failed = True

    def undo(self, session, layer):
        """Who waits for a lock of a savepoint that had been released by then
        waits for the whole transaction, even if that part of it is undone."""
        if session.awaited in layer.released and layer is not session.layers[0]:
            session.layers[0].locks.add(session.awaited)

    def savepoint(self, session, name):
        session.layers.append(Layer(name))

    def back_to(self, session, name):
        while session.layers[-1].savepoint != name:
            self.undo(session, session.layers[-1])
            session.layers.pop()
        self.undo(session, session.layers[-1])
        session.layers[-1] = Layer(name)
        session.failed = False

    def release(self, session, name):
        while True:
            layer = session.layers.pop()
            session.layers[-1].changes.update(layer.changes)
            session.layers[-1].locks |= layer.locks
            session.layers[-1].released |= layer.locks
            if layer.savepoint == name:
                return

    # ---- locks -------------------------------------------------------------

    def holder(self, session, name):
        """The other session that has locked this name, or None."""
        for other in self.sessions.values():
            if other is not session and any(name in l.locks for l in other.layers):
                return other
        return None

    def first_holder(self, session, names):
        """Whom a session that wants these locks, in this order, waits for."""
        return next(filter(None, (self.holder(session, n) for n in names)), None)

    def acquire(self, session, names):
        """Take the locks in this order; the first session in the way, or None."""
        for other in self.sessions.values():
            if session.waiting:
                other.awaited = None
        for name in names:
            other = self.holder(session, name)
            if other is not None:
                other.awaited = name
                return other
            session.layers[-1].locks.add(name)
        return None


def money(units, scale):
    """Units as the server shows them: exactly the scale's decimals."""
    return None if units is None else decimal.Decimal(units).scaleb(-scale)


def text(units, scale):
    """An amount as a caller writes it."""
    return format(money(units, scale), "f")
