"""What each call must answer, from the contract alone.

A call is a function and its arguments as SQL gets them: text, None for NULL,
"h3" for an id that the server made.  plan() says what it would lock, and
decide() what it must answer, and does it in the view that it is given.
"""

import dataclasses
import decimal

from book import BOUND, Delta, Posting, Row, money

NAMES = {
    "TL001": "insufficient_funds",
    "TL002": "version_conflict",
    "TL004": "limit_exceeded",
    "TL005": "account_not_active",
    "TL006": "hold_not_open",
}
SKIP = object()  # a column that the contract leaves open


class OneOf(frozenset):
    """Any of these values will do."""


class Id(str):
    """Our name for an id of the server's; the first time it is bound."""


class Deadline:
    """expires_at: so many seconds after the call's own time."""

    def __init__(self, seconds):
        self.seconds = seconds


@dataclasses.dataclass
class Call:
    function: str
    arguments: dict

    @property
    def key(self):
        return self.arguments.get("key")

    def get(self, name):
        return self.arguments.get(name)


@dataclasses.dataclass
class Outcome:
    """The SQLSTATEs that will do, or else the rows."""

    codes: frozenset = frozenset()
    rows: list = None
    done: object = None  # to be called with the server's rows
    early: bool = False  # it may be refused before any lock is waited for


class Refused(Exception):
    """The call must raise one of these SQLSTATEs."""

    def __init__(self, *codes):
        super().__init__(*codes)
        self.codes = set(codes)


class Denied(Exception):
    """A business refusal: what becomes of it is the caller's choice."""

    def __init__(self, codes):
        super().__init__(*codes)
        self.codes = set(codes)


# ---- arguments -------------------------------------------------------------


def amount_of(given, scale, least=1):
    """Units of an amount that must be at least so many units; or Refused."""
    if given is None:
        raise Refused("22004")
    value = decimal.Decimal(given)
    if not value.is_finite():
        raise Refused("22023")
    units = value.scaleb(scale)
    if abs(units) >= BOUND:
        raise Refused("22003")
    if units != units.to_integral_value() or (least is not None and units < least):
        raise Refused("22023")
    return int(units)


def canonical(function, arguments):
    """Arguments as a key remembers them: NULL is not given, 5 is 5.00."""
    plain = {}
    for name, value in arguments.items():
        if name in ("key", "keys", "on_denial") or value is None:
            continue
        if name in ("amount", "max_amount", "min_amount", "min_after", "max_after"):
            value = decimal.Decimal(value)
        elif name == "amounts":
            value = [None if v is None else decimal.Decimal(v) for v in value]
        plain[name] = value
    defaults = {"transfer_up_to": {"min_amount": decimal.Decimal(0)},
                "capture": {"final": "true"}, "post": {"mode": "atomic"}}
    return {**defaults.get(function, {}), **plain}


def known(view, key):
    return view.get("key", key) if key is not None else None


def account_of(view, number):
    if number is None:
        raise Refused("22004")
    account = view.get("account", number)
    if account is None:
        raise Refused("TL009")
    return account


def two_sides(view, arguments):
    """Both accounts of a movement, with everything that is wrong about them."""
    wrong, found = set(), []
    sides = arguments.get("debit_account"), arguments.get("credit_account")
    for number in sides:
        try:
            found.append(account_of(view, number))
        except Refused as refused:
            wrong |= refused.codes
    if sides[0] is not None and sides[0] == sides[1]:
        wrong.add("22023")
    if len(found) == 2 and found[0].asset != found[1].asset:
        wrong.add("TL007")
    return wrong, found


def collect(wrong, function, *arguments):
    """The result, or None with the codes added to wrong."""
    try:
        return function(*arguments)
    except Refused as refused:
        wrong |= refused.codes
        return None


# ---- effects ---------------------------------------------------------------


class Move:
    """One journal row and what it does to both sides."""

    def __init__(self, kind, debit, credit, amount, metadata=None, effective=None,
                 hold=None):
        self.kind, self.debit, self.credit = kind, debit, credit
        self.amount, self.metadata = amount, metadata
        self.effective, self.hold = effective, hold

    def touch(self, view, name, side, posted, pending):
        account = view.get("account", name)
        field = "pending_debit" if side == "debit" else "pending_credit"
        if side == "credit" and account.most is None:
            pending = 0
        posting = Posting(
            self.row, self.kind, side, self.amount, account.posted + posted,
            getattr(account, field) + pending,
            self.credit if side == "debit" else self.debit,
            self.hold, self.effective, self.metadata, account.hot)
        if account.hot:
            view.layers[-1].deltas.append(Delta(
                name, posted, pending if side == "debit" else 0,
                pending if side == "credit" else 0, posting))
            return
        view.put("account", dataclasses.replace(account, **{
            "posted": posting.posted, field: posting.pending,
            "postings": account.postings + (posting,)}))

    def write(self, book, view, posted, pending=0):
        """posted moves; pending is what the hold binds more, or less."""
        self.row = book.make_id("r")
        self.touch(view, self.debit, "debit", -posted, pending)
        # An extension changes nothing of what the credit account awaits.
        if posted or (view.get("account", self.credit).most is not None
                      and self.kind != "extend"):
            self.touch(view, self.credit, "credit", posted, pending)
        view.put("row", Row(self.row, self.kind, self.debit, self.credit,
                            self.amount or 0))
        return self.row


def movement_row(view, row, debit, credit, amount, replayed=False):
    """The answer to a movement, once it is in the view."""
    one, two = view.get("account", debit), view.get("account", credit)
    return {
        "id": Id(row), "status": "posted", "reason": None,
        "amount": money(amount, one.scale),
        "debit_balance": money(one.posted, one.scale),
        "debit_version": one.told_version,
        "credit_balance": money(two.posted, two.scale),
        "credit_version": two.told_version, "replayed": replayed,
    }


def batch_row(view, row, debit, credit):
    """The same in the answer to a batch: of a hot account it has no balance."""
    for side, number in (("debit", debit), ("credit", credit)):
        if view.get("account", number).hot:
            row[side + "_balance"] = None
    return row


def denied_row(function, codes):
    row = {"id": None, "status": "denied", "replayed": False,
           "reason": OneOf(NAMES[code] for code in codes)}
    if function == "adjust_hold":
        row["id"] = SKIP
    if function in ("hold", "adjust_hold"):
        return {**row, "expires_at": SKIP, "available": SKIP, "debit_version": SKIP}
    if function == "transfer_from":
        return {**row, "ordinal": 1, "batch_id": None, "amount": SKIP,
                "debit_balance": None, "debit_version": None,
                "credit_balance": None, "credit_version": None}
    return {**row, "amount": SKIP, "debit_balance": SKIP, "debit_version": SKIP,
            "credit_balance": SKIP, "credit_version": SKIP}


def hold_row(view, name, expires_at):
    hold = view.get("hold", name)
    account = view.get("account", hold.debit)
    return {
        "id": Id(name), "status": hold.state, "reason": None,
        "expires_at": expires_at,
        "available": money(view.available(account), account.scale),
        "debit_version": account.told_version, "replayed": False,
    }


def check_range(view, *names):
    """22003 for a balance that leaves 38 digits; sums are made of them too."""
    for name in names:
        account = view.get("account", name)
        sums = (account.posted, account.pending_debit, account.pending_credit,
                account.posted - account.pending_debit,
                account.posted + account.pending_credit)
        if any(abs(units) >= BOUND for units in sums):
            raise Refused("22003")


def move_denials(view, debit, credit, amount):
    """Which limits a movement of this amount would break."""
    gives, takes = view.can_give(debit), view.can_take(credit)
    codes = set()
    if gives is not None and amount > gives:
        codes.add("TL001")
    if takes is not None and amount > takes:
        codes.add("TL004")
    return codes
