"""What the clients ask: calls of the ledger's functions, chosen by chance."""

import datetime
import decimal
import random
import threading
import uuid

from psycopg.types.json import Jsonb

WORLD = 1
CENT = decimal.Decimal("0.01")
ARGUMENTS = {
    "transfer": ("debit_account", "credit_account", "amount", "key",
                 "expected_version", "metadata", "on_denial"),
    "hold": ("debit_account", "credit_account", "amount", "ttl", "key",
             "expected_version", "metadata", "on_denial"),
    "capture": ("hold", "amount", "final", "key", "on_denial"),
    "release": ("hold", "key"),
    "transfer_up_to": ("debit_account", "credit_account", "max_amount", "min_amount",
                       "key", "metadata", "on_denial"),
    "reverse": ("id", "amount", "key", "on_denial"),
    "extend_hold": ("hold", "ttl", "key"),
    "adjust_hold": ("hold", "amount", "key", "on_denial"),
}
# How often each is chosen; what needs something to work on may give way.
KINDS = {"transfer": 33, "hold": 16, "capture": 14, "release": 6, "post": 10,
         "reverse": 7, "transfer_up_to": 5, "extend_hold": 4, "adjust_hold": 5}


def typed(answer):
    """An answer out of JSON, with the types that the row itself has."""
    given = dict(answer)
    for name in ("id", "batch_id"):
        if given.get(name) is not None:
            given[name] = uuid.UUID(given[name])
    if given.get("expires_at") is not None:
        given["expires_at"] = datetime.datetime.fromisoformat(given["expires_at"])
    return given


class Request:
    """One call that may be made once or often; token is in its journal row."""

    def __init__(self, function, arguments, token=None, accounts=None):
        self.function = function
        self.arguments = arguments
        self.token = token
        self.accounts = accounts  # what it moves money between, where known
        if "debit_account" in arguments:
            self.accounts = (arguments["debit_account"], arguments["credit_account"])

    @property
    def key(self):
        return self.arguments.get("key")

    def changed(self, amount):
        """The same key, another amount."""
        arguments = dict(self.arguments, amount=amount)
        return Request(self.function, arguments, self.token, self.accounts)

    def call(self, ledger):
        """SQL and parameters of the function call, for a FROM clause."""
        given = {
            name: value
            for name, value in self.arguments.items()
            if value is not None and name in ARGUMENTS[self.function]
        }
        if self.token is not None:
            given["metadata"] = Jsonb({"token": self.token})
        names = ", ".join("%s => %%(%s)s" % (name, name) for name in given)
        given["ledger"] = ledger
        return "teller.%s(%%(ledger)s, %s)" % (self.function, names), given

    @property
    def items(self):
        """What it consists of, each with an answer of its own."""
        return [self]


class Batch(Request):
    """A call of post; each item is the request of a transfer."""

    def __init__(self, items, mode, key=None):
        super().__init__("post", {"key": key})
        self.parts = items
        self.mode = mode

    @property
    def items(self):
        return self.parts

    def changed(self, amount):
        return Batch([self.parts[0].changed(amount)] + self.parts[1:],
                     self.mode, self.key)

    def column(self, name):
        """One argument of all items; None if none has it."""
        values = [item.arguments.get(name) for item in self.parts]
        return None if values.count(None) == len(values) else values

    def call(self, ledger):
        given = {
            "ledger": ledger,
            "debits": self.column("debit_account"),
            "credits": self.column("credit_account"),
            "amounts": self.column("amount"),
            "keys": self.column("key"),
            "mode": self.mode,
            "metadata": [Jsonb({"token": item.token}) for item in self.parts],
            "key": self.key,
            "versions": self.column("expected_version"),
        }
        return ("teller.post(%(ledger)s, %(debits)s::bigint[], %(credits)s::bigint[],"
                " %(amounts)s::numeric[], %(keys)s::text[], %(mode)s,"
                " %(metadata)s::jsonb[], %(key)s,"
                " expected_versions => %(versions)s::bigint[])"), given


class KnownHold:
    """A hold that some client was told of."""

    def __init__(self, hold_id, debit_account, credit_account, amount):
        self.id = hold_id
        self.accounts = (debit_account, credit_account)
        self.amount = amount


class KnownRow:
    """A movement that some client was told of, and what it moved."""

    def __init__(self, row_id, accounts, amount):
        self.id = row_id
        self.accounts = accounts
        self.amount = amount


class Pool:
    """What the clients know of each other: keys in use, holds, movements."""

    def __init__(self, accounts):
        self.accounts = accounts
        self.lock = threading.Lock()
        self.keyed = []
        self.holds = []
        self.rows = []
        self.made = 0

    def token(self):
        with self.lock:
            self.made += 1
            return self.made

    def add_keyed(self, request):
        with self.lock:
            self.keyed.append(request)

    def add_hold(self, hold):
        with self.lock:
            self.holds.append(hold)

    def add_row(self, row):
        with self.lock:
            self.rows.append(row)

    def recent(self, chance, items, reach):
        """One of the last few, so that clients meet."""
        with self.lock:
            if not items:
                return None
            return items[-1 - chance.randrange(min(reach, len(items)))]


class Mix:
    """Chooses requests; each client has one, with its own seed."""

    def __init__(self, seed, pool):
        self.chance = random.Random(seed)
        self.pool = pool

    def amount(self):
        return decimal.Decimal(self.chance.randint(1, 6000)) / 100

    def maybe(self, probability):
        return self.chance.random() < probability

    def pair(self, accounts):
        """Two accounts, the first ones more often: they are the hot ones."""
        while True:
            one = accounts[int(len(accounts) * self.chance.random() ** 2)]
            two = accounts[int(len(accounts) * self.chance.random() ** 2)]
            if one != two:
                return one, two

    def request(self, accounts=None, fresh=False):
        """
        accounts: only among these.  fresh: no key that another request may
        have, so that nobody is waited for but by the accounts' locks.
        """
        if not fresh and self.maybe(0.2):
            request = self.repeated()
            if request is not None:
                return request
        kind = self.chance.choices(list(KINDS), list(KINDS.values()))[0]
        request = None
        if kind in ("capture", "release", "extend_hold", "adjust_hold"):
            request = self.ending(kind, accounts)
        elif kind == "reverse":
            request = self.reversing(accounts)
        elif kind == "post":
            request = self.batch(accounts or self.pool.accounts, fresh)
        elif kind == "transfer_up_to":
            request = self.sweeping(accounts or self.pool.accounts)
        if request is None:
            request = self.moving("hold" if kind == "hold" else "transfer",
                                  accounts or self.pool.accounts)
        for keyed in {request, *request.items}:
            if keyed.key is not None:
                self.pool.add_keyed(keyed)
        return request

    def new_key(self, probability):
        return "key-%d" % self.pool.token() if self.maybe(probability) else None

    def on_denial(self, key, probability):
        """What is to be done with a denial; only under a key it is recorded."""
        if not self.maybe(probability):
            return None
        return "record" if key is not None and self.maybe(0.3) else "return"

    def repeated(self):
        """A request under a key that was used before, or is just now."""
        reach = 3 if self.maybe(0.7) else 30
        request = self.pool.recent(self.chance, self.pool.keyed, reach)
        if request is None:
            return None
        if self.maybe(0.25) and ("amount" in request.arguments
                                 or request.function == "post"):
            return request.changed(self.amount())
        return request

    def moving(self, function, accounts):
        debit, credit = self.pair(accounts)
        token = self.pool.token()
        key = "key-%d" % token if self.maybe(0.5) else None
        arguments = {
            "debit_account": debit,
            "credit_account": credit,
            "amount": self.amount(),
            "key": key,
            "on_denial": self.on_denial(key, 0.4),
        }
        if function == "hold":
            arguments["ttl"] = self.chance.choice(
                ("1 us", "2 ms", "30 ms", "1 hour", "1 hour", "1 hour"))
        if self.maybe(0.05):
            arguments["expected_version"] = self.chance.randrange(200)
        return Request(function, arguments, token)

    def sweeping(self, accounts):
        """As much as there is."""
        debit, credit = self.pair(accounts)
        key = self.new_key(0.4)
        return Request("transfer_up_to", {
            "debit_account": debit,
            "credit_account": credit,
            "max_amount": self.amount() * 3,
            "min_amount": CENT * self.chance.randrange(2000) if self.maybe(0.3) else None,
            "key": key,
            "on_denial": self.chance.choice(
                (None, None, "raise", "record" if key else None)),
        }, self.pool.token())

    def item(self, accounts, fresh):
        """A transfer; perhaps one whose key somebody else is using."""
        if not fresh and self.maybe(0.15):
            known = self.pool.recent(self.chance, self.pool.keyed, 10)
            if known is not None and known.function == "transfer":
                return known
        item = self.moving("transfer", accounts)
        if self.maybe(0.5):
            item.arguments["amount"] = CENT * self.chance.randint(1, 1500)
        if self.maybe(0.8):
            item.arguments.pop("expected_version", None)
        return item

    def batch(self, accounts, fresh):
        mode = self.chance.choice(("atomic", "independent"))
        items = [self.item(accounts, fresh) for _ in range(self.chance.randint(2, 6))]
        keyed = [item for item in items if item.key is not None]
        if keyed and self.maybe(0.2):
            items.append(self.chance.choice(keyed))
        if mode == "atomic" and self.maybe(0.4):
            items = [Request("transfer", dict(item.arguments, key=None), self.pool.token())
                     for item in items]
            return Batch(items, mode, self.new_key(1))
        return Batch(items, mode)

    def reversing(self, accounts):
        row = self.pool.recent(self.chance, self.pool.rows, 12)
        if row is None or (accounts and not set(row.accounts) <= set(accounts)):
            return None
        key = self.new_key(0.5)
        arguments = {"id": row.id, "key": key, "on_denial": self.on_denial(key, 0.5)}
        if self.maybe(0.7):
            arguments["amount"] = min(self.amount(), row.amount)
        return Request("reverse", arguments, accounts=row.accounts)

    def ending(self, function, accounts):
        """Something that is done with a hold."""
        hold = self.pool.recent(self.chance, self.pool.holds, 12)
        if hold is None or (accounts and not set(hold.accounts) <= set(accounts)):
            return None
        key = self.new_key(0.5)
        arguments = {"hold": hold.id, "key": key}
        if function == "capture":
            if self.maybe(0.7):
                arguments["amount"] = (hold.amount + CENT if self.maybe(0.15)
                                       else min(self.amount(), hold.amount))
            arguments["final"] = self.maybe(0.4)
        if function == "extend_hold":
            arguments["ttl"] = self.chance.choice(("20 ms", "2 hours", "3 hours"))
        if function == "adjust_hold":
            arguments["amount"] = hold.amount if self.maybe(0.2) else self.amount()
        if function in ("capture", "adjust_hold"):
            arguments["on_denial"] = self.on_denial(key, 0.5)
        return Request(function, arguments, accounts=hold.accounts)
