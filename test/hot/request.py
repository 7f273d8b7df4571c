"""Calls on hot accounts: drawn at random, and what their answers name."""

import random

LEDGER = 1
WORLD = 100
MIRROR = 9  # the negative of what we have at the bank
BANK = "bank"  # the server

# (id, hot, minimum, maximum, reentrancy): small amounts, so that limits are met
ACCOUNTS = (
    (1, True, 0, None, "allow"),
    (2, True, 0, 700, "allow"),
    (3, True, None, None, "allow"),
    (4, True, 0, 260, "allow"),
    (5, True, 0, None, "allow"),  # switched on and off
    (6, True, -80, None, "allow"),
    (7, True, 0, 900, "queue"),
    (8, True, 0, 500, "allow"),  # gets other limits, is frozen
    (11, False, 0, None, "allow"),
    (12, False, 0, 600, "allow"),
    (MIRROR, True, None, None, "allow"),  # only operations move it
    (WORLD, False, None, None, "allow"),
)
IDS = [account[0] for account in ACCOUNTS if account[0] != MIRROR]
OPENING = 200  # what each but the world starts with
LEVELS = ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")


class Call:
    """
    One call.  tags: of the rows it writes, by their metadata.  ids, hold: what
    its answer named; an operation is found by its nonce.
    """

    def __init__(self, kind, sql, parameters, tags=()):
        self.kind = kind
        self.sql = sql
        self.parameters = parameters
        self.tags = list(tags)
        self.ids = []  # rows of the journal
        self.hold = None  # a hold that was placed, or is asked about
        self.nonce = None  # an operation's that was submitted
        self.operation = None  # its id, or that of the one asked about
        self.state = None  # the state that the hold was said to have
        self.error = None
        self.fate = None  # committed, undone or unknown

    def take(self, rows):
        """The answer: names in it are to be found later, or not to be."""
        if self.kind in ("transfer", "early", "up_to", "capture"):
            self.ids = [row["id"] for row in rows if row["status"] != "denied"]
        elif self.kind == "post":
            self.ids = [row["id"] for row in rows if row["status"] != "denied"]
            self.tags = [
                tag for tag, row in zip(self.tags, rows) if row["status"] != "denied"
            ]
        elif self.kind == "hold" and rows[0]["status"] == "open":
            self.hold = rows[0]["id"]
        elif self.kind == "operation" and rows[0]["state"] != "denied":
            self.operation = rows[0]["id"]
        self.state = rows[0].get("status") or rows[0].get("state")
        if self.state == "denied" and self.kind != "post":
            self.tags = []


class Mix:
    """Draws calls."""

    def __init__(self, seed, client):
        self.random = random.Random("%s-%s" % (seed, client))
        self.client = client
        self.number = 0
        self.crowded = False  # only calls that leave hot accounts to others too

    def tag(self):
        self.number += 1
        return "%s-%d" % (self.client, self.number)

    def pair(self):
        draw = self.random
        if self.crowded:
            return draw.sample((1, 2, 3, 4, 6), 2)
        if draw.random() < 0.5:  # crowds, so that many meet
            pair = [draw.choice((1, 2, 4)), draw.choice(IDS)]
            draw.shuffle(pair)
        else:
            pair = draw.sample(IDS, 2)
        return pair if pair[0] != pair[1] else self.pair()

    def amount(self):
        return self.random.choice((1, 3, 10, 25, 60, 130))

    def denial(self):
        return self.random.choice(("raise", "return", "return"))

    def movement(self, kind, function):
        tag = self.tag()
        return Call(
            kind,
            function + "(%s, %s, %s, %s,"
            " metadata => jsonb_build_object('tag', %s::text), on_denial => %s)",
            [LEDGER, *self.pair(), self.amount(), tag, self.denial()],
            [tag],
        )

    def transfer(self):
        return self.movement("transfer", "SELECT * FROM teller.transfer")

    def early(self):
        """Not within a transaction: it commits by itself."""
        return self.movement("early", "CALL teller.transfer_early")

    def operation(self):
        """A withdrawal or a deposit; some are over before the bank hears of them."""
        nonce = self.tag()
        call = Call(
            "operation",
            "SELECT * FROM teller.%s" % self.random.choice(("withdraw", "withdraw", "deposit"))
            + "(%s, %s, %s, %s, 'outside', %s, expires_in => %s::interval,"
            " on_denial => %s)",
            [
                LEDGER,
                self.pair()[0],
                BANK,
                self.amount(),
                nonce,
                self.random.choice(("1 s", "1 s", "1 minute")),
                self.denial(),
            ],
        )
        call.nonce = nonce
        return call

    def cancel(self, operation):
        call = Call("cancel", "SELECT teller.cancel(%s, %s) AS state", [LEDGER, operation])
        call.operation = operation
        return call

    def up_to(self):
        tag = self.tag()
        return Call(
            "up_to",
            "SELECT * FROM teller.transfer_up_to(%s, %s, %s, %s,"
            " metadata => jsonb_build_object('tag', %s::text), on_denial => 'return')",
            [LEDGER, *self.pair(), self.amount(), tag],
            [tag],
        )

    def post(self):
        pairs = [self.pair() for _ in range(self.random.randint(1, 5))]
        tags = [self.tag() for _ in pairs]
        return Call(
            "post",
            "SELECT * FROM teller.post(%s, %s, %s, %s::numeric[], mode => %s,"
            " metadata => (SELECT array_agg(jsonb_build_object('tag', t) ORDER BY n)"
            " FROM unnest(%s::text[]) WITH ORDINALITY AS u(t, n)))",
            [
                LEDGER,
                [pair[0] for pair in pairs],
                [pair[1] for pair in pairs],
                [self.amount() for _ in pairs],
                "atomic" if self.crowded else
                self.random.choice(("atomic", "independent")),
                tags,
            ],
            tags,
        )

    def hold(self):
        tag = self.tag()
        return Call(
            "hold",
            "SELECT * FROM teller.hold(%s, %s, %s, %s, ttl => %s::interval,"
            " metadata => jsonb_build_object('tag', %s::text), on_denial => %s)",
            [
                LEDGER,
                *self.pair(),
                self.amount(),
                self.random.choice(("20 ms", "100 ms", "400 ms", "1 s", "3 s")),
                tag,
                self.denial(),
            ],
            [tag],
        )

    def with_hold(self, hold):
        """Capture, release, extend or adjust."""
        kind = self.random.choice(("capture", "capture", "release", "extend", "adjust"))
        if kind == "capture":
            sql, more = "capture(%s, %s, final => %s)", [self.random.random() < 0.7]
        elif kind == "release":
            sql, more = "release(%s, %s)", []
        elif kind == "extend":
            sql, more = "extend_hold(%s, %s, %s::interval)", ["1500 ms"]
        else:
            sql, more = "adjust_hold(%s, %s, %s)", [self.amount()]
        call = Call(kind, "SELECT * FROM teller." + sql, [LEDGER, hold, *more])
        call.hold = hold
        return call

    def sweep(self):
        return Call("sweep", "SELECT teller.expire_due(50) AS n", [])

    def read(self):
        return Call(
            "read",
            "SELECT * FROM teller.balance(%s, %s)",
            [LEDGER, self.random.choice(IDS)],
        )

    def lone(self, holds, operations):
        """A call that is a transaction of its own."""
        if self.random.random() < 0.08:
            return self.early()
        return self.call(holds, operations)

    def call(self, holds, operations):
        """One call; holds and operations: those that the client knows."""
        draw = self.random.random()
        if draw < 0.04:
            return self.operation()
        if draw < 0.05 and operations:
            return self.cancel(self.random.choice(operations))
        if draw < 0.42:
            return self.transfer()
        if draw < 0.50 and not self.crowded:
            return self.up_to()
        if draw < 0.58:
            return self.post()
        if draw < 0.75 or not holds:
            return self.hold()
        if draw < 0.94:
            return self.with_hold(self.random.choice(holds))
        return self.sweep() if draw < 0.97 else self.read()
