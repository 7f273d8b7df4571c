"""The books as they must be: committed state, open transactions, locks.

Everything is a value under a name like ("account", 2); a transaction is a
stack of layers over what is committed, one layer for each savepoint.  A layer
also has the names that the transaction has locked since.  Amounts are integers
in the smallest unit of the asset.  Ids that the server makes have names of
ours ("h3"); Book.ids says what the server calls them.

Several transactions may move a hot account at once.  So what a layer has of it
is not its value but what was added to it (Delta), and what others have to
reckon with until that is certain (Use).
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
    hot: bool = False  # the account was hot: no version, no balances


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
    hot: bool = False
    mixed: bool = False  # it is hot, or was

    @property
    def version(self):
        return sum(not posting.hot for posting in self.postings)

    @property
    def told_version(self):
        """As results have it: a hot account has none."""
        return None if self.hot else self.version


@dataclasses.dataclass(frozen=True)
class Delta:
    """What one journal row does to one side of a hot account."""

    account: int
    posted: int
    pending_debit: int
    pending_credit: int
    posting: Posting

    def added_to(self, account):
        return dataclasses.replace(
            account, posted=account.posted + self.posted,
            pending_debit=account.pending_debit + self.pending_debit,
            pending_credit=account.pending_credit + self.pending_credit,
            postings=account.postings + (self.posting,))


@dataclasses.dataclass(frozen=True)
class Use:
    """What one call did to the room on one side of a hot account: it has taken
    of it, or gives to it if it commits; or it changed a hold that was not due,
    so that nobody can count that hold as due before the transaction ends."""

    account: int
    side: str
    taken: int = 0
    given: int = 0
    claims: int = 0


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
        self.deltas = []  # of hot accounts
        self.uses = []  # of hot accounts

    def uses_account(self, number):
        return bool(self.locks & {("alone", number), ("shared", number)})

    def absorb(self, layer):
        """What was done in a layer above stays, with all else of this one."""
        self.changes.update(layer.changes)
        self.deltas += layer.deltas
        self.uses += layer.uses

    def end_call(self):
        """The layer is that of one call: what others have to reckon with."""
        for name in sorted({delta.account for delta in self.deltas}):
            mine = [d for d in self.deltas if d.account == name]
            posted = sum(d.posted for d in mine)
            for side, more in (
                    ("debit", posted - sum(d.pending_debit for d in mine)),
                    ("credit", -posted - sum(d.pending_credit for d in mine))):
                if more:
                    self.uses.append(Use(name, side, max(-more, 0), max(more, 0)))


class View:
    """What one session sees; writes go into the topmost layer."""

    def __init__(self, committed, layers):
        self.committed = committed
        self.layers = layers

    def get(self, kind, name):
        value = self.base(kind, name)
        if kind == "account" and value is not None and value.hot:
            for layer in self.layers:
                for delta in layer.deltas:
                    if delta.account == name:
                        value = delta.added_to(value)
        return value

    def base(self, kind, name):
        """The same; of a hot account only what is committed."""
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

    def due(self, account, side):
        """The rest of the open holds on this side that are due."""
        return sum(h.rest for h in self.all("hold") if h.state == "open" and h.due
                   and account.id == (h.debit if side == "debit" else h.credit))

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
        self.awaits = None  # the session that our call waits for
        self.wanted = None  # the lock that it waits for
        self.until = None  # or the end: a session and a layer of it

    def locked(self, name):
        return any(name in layer.locks for layer in self.layers)

    def uses(self, account, side):
        return [use for layer in self.layers for use in layer.uses
                if (use.account, use.side) == (account, side)]

    def began(self, number):
        """The layer in which we came to have a hot account alone, or if we do
        not, to use it; and that lock.  Who waits for us waits for its end."""
        for name in (("alone", number), ("shared", number)):
            for layer in self.layers:
                if name in layer.locks:
                    return layer, name
        return None, None

    def awaited_layer(self, number):
        """The whole transaction, if the savepoint had been released by then."""
        layer, name = self.began(number)
        return self.layers[0] if name in layer.released else layer

    def ended(self, layer):
        return not any(l is layer for l in self.layers)


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
            for delta in [d for layer in session.layers for d in layer.deltas]:
                name = "account", delta.account
                self.committed[name] = delta.added_to(self.committed[name])
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
        name = session.awaited
        if name and name[0] == "limits":
            return  # it is nobody's row: it goes with the savepoint
        if name and name[0] in ("alone", "shared"):
            began, lock = session.began(name[1])
            name = ("alone", name[1])  # is in the way of both
            if began is not layer:
                return
        else:
            lock = name
        if lock in layer.released and layer is not session.layers[0]:
            session.layers[0].locks.add(name)

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
            session.layers[-1].absorb(layer)
            session.layers[-1].released |= {
                name for name in layer.locks if not self.had(session, name)}
            session.layers[-1].locks |= layer.locks
            if layer.savepoint == name:
                return

    @staticmethod
    def had(session, name):
        """Of a hot account it counts when the use of it began."""
        kind, number = name
        return (kind == "alone" and session.locked(name)
                or kind == "shared" and session.began(number)[0] is not None)

    # ---- locks -------------------------------------------------------------

    def holders(self, session, name):
        """The other sessions that have locked this name.  Who waits for a hot
        account alone is in the way of all who do not have it yet."""
        others = [s for s in self.sessions.values() if s is not session]
        found = [other for other in others
                 if any(other.locked(n) for n in self.against(name))]
        if found or any(session.locked((kind, name[1])) for kind in ("alone", "shared")):
            return found
        return [other for other in others
                if other.waiting and other.wanted in self.against(name)
                and name[0] in ("alone", "shared")]

    @staticmethod
    def against(name):
        """The locks that do not go with this one."""
        kind, number = name
        if kind == "shared":
            return {("alone", number)}
        if kind == "alone":
            return {("alone", number), ("shared", number)}
        return {name}

    def first_holder(self, session, names):
        """Whom a session that wants these locks, in this order, waits for."""
        for name in names:
            others = self.holders(session, name)
            if others:
                return others[0]
        return None

    def acquire(self, session, names):
        """Take the locks in this order; the sessions in the way of the first
        that cannot be had."""
        for name in names:
            others = self.holders(session, name)
            if others:
                session.wanted = name
                self.set_awaited(session, others[0])
                return others
            session.layers[-1].locks.add(name)
        if session.waiting:
            self.set_awaited(session, None)
        return []

    def set_awaited(self, session, awaited):
        """Only one call waits at a time, for one of the others."""
        for other in self.sessions.values():
            other.awaited = session.wanted if other is awaited else None


def money(units, scale):
    """Units as the server shows them: exactly the scale's decimals."""
    return None if units is None else decimal.Decimal(units).scaleb(-scale)


def text(units, scale):
    """An amount as a caller writes it."""
    return format(money(units, scale), "f")
