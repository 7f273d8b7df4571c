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
}


def typed(answer):
    """An answer out of JSON, with the types that the row itself has."""
    given = dict(answer)
    if given.get("id") is not None:
        given["id"] = uuid.UUID(given["id"])
    if given.get("expires_at") is not None:
        given["expires_at"] = datetime.datetime.fromisoformat(given["expires_at"])
    return given


class Request:
    """One call that may be made once or often; token is in its journal row."""

    def __init__(self, function, arguments, token=None):
        self.function = function
        self.arguments = arguments
        self.token = token

    @property
    def key(self):
        return self.arguments.get("key")

    def changed(self, amount):
        """The same key, another amount."""
        arguments = dict(self.arguments, amount=amount)
        return Request(self.function, arguments, self.token)

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


class KnownHold:
    """A hold that some client was told of."""

    def __init__(self, hold_id, debit_account, credit_account, amount):
        self.id = hold_id
        self.accounts = (debit_account, credit_account)
        self.amount = amount


class Pool:
    """What the clients know of each other: keys in use, holds to end."""

    def __init__(self, accounts):
        self.accounts = accounts
        self.lock = threading.Lock()
        self.keyed = []
        self.holds = []
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
        kind = self.chance.choices(
            ("transfer", "hold", "capture", "release"), (50, 20, 20, 10))[0]
        request = None
        if kind in ("capture", "release"):
            request = self.ending(kind, accounts)
        if request is None:
            request = self.moving("hold" if kind == "hold" else "transfer",
                                  accounts or self.pool.accounts)
        if request.key is not None:
            self.pool.add_keyed(request)
        return request

    def repeated(self):
        """A request under a key that was used before, or is just now."""
        reach = 3 if self.maybe(0.7) else 30
        request = self.pool.recent(self.chance, self.pool.keyed, reach)
        if request is None:
            return None
        if self.maybe(0.25) and "amount" in request.arguments:
            return request.changed(self.amount())
        return request

    def moving(self, function, accounts):
        debit, credit = self.pair(accounts)
        token = self.pool.token()
        arguments = {
            "debit_account": debit,
            "credit_account": credit,
            "amount": self.amount(),
            "key": "key-%d" % token if self.maybe(0.5) else None,
            "on_denial": "return" if self.maybe(0.4) else None,
        }
        if function == "hold":
            arguments["ttl"] = self.chance.choice(
                ("1 us", "2 ms", "30 ms", "1 hour", "1 hour", "1 hour"))
        if self.maybe(0.05):
            arguments["expected_version"] = self.chance.randrange(200)
        return Request(function, arguments, token)

    def ending(self, function, accounts):
        hold = self.pool.recent(self.chance, self.pool.holds, 12)
        if hold is None or (accounts and not set(hold.accounts) <= set(accounts)):
            return None
        arguments = {"hold": hold.id}
        if self.maybe(0.5):
            arguments["key"] = "key-%d" % self.pool.token()
        if function == "capture":
            if self.maybe(0.7):
                arguments["amount"] = (hold.amount + CENT if self.maybe(0.15)
                                       else min(self.amount(), hold.amount))
            arguments["final"] = self.maybe(0.4)
            arguments["on_denial"] = "return" if self.maybe(0.5) else None
        return Request(function, arguments)
