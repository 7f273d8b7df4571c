"""What the log of the clients says must be in the books, and what is there."""

import collections
import datetime
import decimal

from psycopg.rows import dict_row

from request import WORLD, typed

NONE = decimal.Decimal(0)

# Nothing else may ever reach a client.
KNOWN_ERRORS = {
    "TL001", "TL002", "TL003", "TL004", "TL006", "22023", "40001", "40P01", "55000",
    "55P03", "57014", "MD001",
}
# Kinds of rows that move money, and those that a limit is tested for.
MOVES = ("transfer", "capture", "reversal")
LIMITED = ("transfer", "hold", "reversal")
# teller.journal.tx is the number of an epoch, then the id of the transaction.
TX_ID = 2 ** 48 - 1
# From here on the run must have met everything there is.
ENOUGH_CALLS = 5000
ENOUGH_ACCOUNTS = 10


class Claims:
    """Prints one line for each claim; the last line counts them."""

    def __init__(self):
        self.passed = 0
        self.failed = 0

    def that(self, holds, claim, detail=""):
        if holds:
            self.passed += 1
            print("ok - %s" % claim)
        else:
            self.failed += 1
            print("not ok - %s: %s" % (claim, detail))

    def none(self, found, claim):
        """The claim holds if nothing was found against it."""
        self.that(not found, claim, "%d, e.g. %s" % (
            len(found), "; ".join(str(item) for item in found[:3])))

    def end(self):
        print("%d passed, %d failed" % (self.passed, self.failed))
        return self.failed


class Book:
    """The tables of one ledger as they are in the end."""

    def __init__(self, connection, ledger):
        self.connection = connection
        self.ledger = ledger
        self.journal = self.read(
            "SELECT *, (metadata ->> 'token')::bigint AS token FROM teller.journal"
            " WHERE ledger_id = %s")
        self.accounts = {row["account_id"]: row for row in self.read(
            "SELECT * FROM teller.account WHERE ledger_id = %s")}
        self.holds = {row["hold_id"]: row for row in self.read(
            "SELECT * FROM teller.hold WHERE ledger_id = %s")}
        self.keys = {row["key"]: row for row in self.read(
            "SELECT * FROM teller.key WHERE ledger_id = %s")}
        self.by_id = {row["id"]: row for row in self.journal}
        self.placing = {row["hold_id"]: row for row in self.journal
                        if row["kind"] == "hold"}
        # What happened to a hold, by its kind and the version it made.
        self.events = {(row["kind"], row["hold_id"], row["debit_version"]): row
                       for row in self.journal if row["hold_id"] is not None}
        self.adjusted = collections.defaultdict(list)
        for row in self.journal:
            if row["kind"] in ("hold", "adjust"):
                self.adjusted[row["hold_id"]].append((row["debit_version"], new_amount(row)))
        for amounts in self.adjusted.values():
            amounts.sort()

    def read(self, sql):
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql, (self.ledger,)).fetchall()

    def amount_of(self, hold_id, version):
        """What a hold came to when its debit account had that version."""
        return [amount for at, amount in self.adjusted[hold_id] if at <= version][-1]

    def found(self, key):
        """What teller.find() says of a key; None if it never happened."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute("SELECT * FROM teller.find(%s, %s)",
                                  (self.ledger, key)).fetchone()


def new_amount(row):
    """What its hold comes to after the row that places or adjusts it."""
    if row["kind"] == "hold":
        return row["amount"]
    return decimal.Decimal(str(row["metadata"]["new_amount"]))


def count_expired(connection):
    return connection.execute(
        "SELECT count(*) FROM teller.journal WHERE kind = 'expire'").fetchone()[0]


# ---- effects: which call made which journal row -----------------------------


class Effects:
    """Every journal row, with the one call that made it."""

    def __init__(self, book, clients):
        self.book = book
        self.log = [t for client in clients for t in client.log]
        self.calls = {}  # journal id -> the call that made it
        self.wrong = []  # answers that the journal contradicts
        self.torn = []  # unknown commits of which a part is there
        self.tails = set()  # release rows that belong to a final capture
        self.idle = []  # adjustments to the amount that stood already
        self.resolved = 0
        self.lost = [part for t in self.log if t.fate == "unknown"
                     for part in t.parts if part.answer is None and not part.undone]
        self.take_answers()
        self.resolve()

    def row_of(self, function, answer, made_by):
        """
        The journal row that an answer speaks of, if it is there.  made_by tells
        if a row was made by that call: a version that is rolled back is given
        again, so the event of that version may be another call's.
        """
        if function == "hold":
            return self.book.placing.get(answer["id"])
        kind = {"release": "release", "extend_hold": "extend",
                "adjust_hold": "adjust"}.get(function)
        if kind is None:
            return self.book.by_id.get(answer["id"])
        row = self.book.events.get((kind, answer["id"], answer["debit_version"]))
        return row if row is not None and made_by(row) else None

    def row_answered(self, call):
        """The row of an answer that came: of the same transaction."""
        return self.row_of(call.request.function, call.answer,
                           lambda row: row["tx"] & TX_ID == call.tx)

    def claim(self, call, row):
        if row["id"] in self.calls:
            self.wrong.append("journal %s is the effect of two calls" % row["id"])
        self.calls[row["id"]] = call
        tail = self.book.events.get(("release", row["hold_id"], row["debit_version"] + 1))
        if row["kind"] == "capture" and not row["ends_hold"] \
                and call.request.arguments["final"] and tail is not None:
            self.tails.add(tail["id"])

    def take_answers(self):
        for transaction in self.log:
            made = [part for part in transaction.parts
                    if part.done and not part.answer["replayed"]]
            rows = [self.row_answered(part) for part in made]
            if transaction.fate == "rolled back":
                continue
            if transaction.fate == "unknown":
                self.resolved += bool(made)
                rows = [row for part, row in zip(made, rows) if not self.is_idle(part, row)]
                made = [part for part in made if part not in self.idle]
                if None in rows:
                    if any(row is not None for row in rows):
                        self.torn.append(rows)
                    continue
            for part, row in zip(made, rows):
                if not self.is_idle(part, row):
                    self.take_answer(part, row)

    def is_idle(self, call, row):
        """An adjustment that changed nothing; it has no row of its own."""
        if call in self.idle:
            return True
        answer = call.answer
        if call.request.function != "adjust_hold" or answer["id"] not in self.book.holds \
                or row is not None and row["id"] not in self.calls:
            return False
        standing = self.book.amount_of(answer["id"], answer["debit_version"])
        if standing == call.request.arguments["amount"]:
            self.idle.append(call)
        return call in self.idle

    def take_answer(self, call, row):
        if row is None:
            self.wrong.append("%s %s was acknowledged and is not there"
                              % (call.request.function, call.answer["id"]))
            return
        self.claim(call, row)
        if row["kind"] in MOVES:
            answered = [call.answer[name] for name in
                        ("amount", "debit_balance", "credit_balance")]
            booked = [row["amount"], row["debit_posted"], row["credit_posted"]]
            if answered != booked:
                self.wrong.append("%s was told, %s is there" % (answered, booked))
        self.compare(call, row)

    def compare(self, call, row):
        """What was asked, and what is there."""
        given = call.request.arguments
        there = dict(row, id=row["reverses"])
        if row["kind"] == "adjust":
            there["amount"] = new_amount(row)
        for name in ("debit_account", "credit_account", "amount", "id"):
            if given.get(name) not in (None, there[name]):
                self.wrong.append("%s: %s asked, %s is there"
                                  % (name, given[name], there[name]))
        if not (given.get("min_amount") or NONE) <= row["amount"] \
                <= given.get("max_amount", row["amount"]):
            self.wrong.append("%s asked, %s moved" % (given, row["amount"]))
        if row["kind"] == "extend" and typed({"expires_at": row["metadata"]["new_expires_at"]}) \
                != {"expires_at": call.answer["expires_at"]}:
            self.wrong.append("%s told, %s there" % (call.answer, row["metadata"]))

    def resolve(self):
        """Calls that were lost without an answer: by key, token, or hold."""
        left = {row["id"]: row for row in self.book.journal
                if row["id"] not in self.calls and row["id"] not in self.tails
                and row["kind"] != "expire"
                and not (row["metadata"] or {}).get("opening")}
        for call in self.lost:
            row = self.look_up(call, left)
            self.resolved += 1
            if row is not None and row["id"] in left:
                self.claim(call, row)
                left = {i: r for i, r in left.items()
                        if i != row["id"] and i not in self.tails}
        self.left = list(left.values())
        for whole in {call.whole for call in self.lost}:
            if whole.request.function == "post" and whole.request.mode == "atomic":
                self.check_whole(whole)

    def check_whole(self, whole):
        """A lost atomic batch is there or not; what has a key may be another's."""
        there = [any(call is part for call in self.calls.values())
                 for part in whole.parts if part.request.key is None]
        if any(there) and not all(there):
            self.torn.append(whole.request.arguments)

    def look_up(self, call, left):
        request = call.request
        if request.key is not None:
            found = self.book.found(request.key)
            if found is None or found["function"] != request.function \
                    or found["status"] == "denied":
                return None
            return self.row_of(request.function, typed(found["result"]),
                               lambda row: row["recorded_at"] == found["created_at"])
        for row in left.values():
            if row["token"] == request.token \
                    and (request.token is not None or self.fits(request, row)):
                return row
        return None

    @staticmethod
    def fits(request, row):
        """Without a key or a token: any row that it could have made."""
        given = request.arguments
        kinds = {"reverse": "reversal", "extend_hold": "extend", "adjust_hold": "adjust"}
        if row["kind"] != kinds.get(request.function, request.function):
            return False
        if request.function == "reverse":
            return row["reverses"] == given["id"] \
                and given.get("amount") in (None, row["amount"])
        return row["hold_id"] == given["hold"] and (
            request.function != "adjust_hold" or new_amount(row) == given["amount"])


# ---- the claims -------------------------------------------------------------


def claim_effects(claims, effects):
    book = effects.book
    claims.none(effects.wrong, "every acknowledged answer is in the journal once, as it was told")
    claims.none([(row["kind"], row["amount"], row["token"]) for row in effects.left],
                "nothing that was refused or rolled back is in the journal")
    claims.none(effects.torn, "an unknown commit is there as a whole or not at all")
    tokens = collections.Counter(
        row["token"] for row in book.journal if row["token"] is not None)
    claims.none([token for token, times in tokens.items() if times > 1],
                "no request has two effects")


def claim_keys(claims, effects):
    made = {call.request.key: row for row, call in effects.calls.items()
            if call.request.key is not None}
    keys = effects.book.keys
    sure, possible = keys_to_be(effects, set(made))
    claims.none(sorted(sure - set(keys)) + sorted(set(keys) - sure - possible),
                "the keys in the books are those of the effects and of recorded denials")
    wrong = []
    for transaction in effects.log:
        if transaction.fate != "committed":
            continue
        for call in transaction.parts:
            if told_from_store(call):
                stored = keys.get(call.request.key)
                if stored is None or not same(call.answer, stored["result"]) \
                        or stored["status"] != call.answer["status"]:
                    wrong.append((call.request.key, call.answer))
        wrong += [batch for call in transaction.calls
                  for batch in differs_from_batch(call, effects.book)]
    claims.none(wrong, "the first answer and every replay of a key are the stored one")
    claims.none(denied_after(effects, made),
                "no call was denied after it had been done under its key")


def told_from_store(call):
    """Its answer is kept under its key."""
    if call.answer is None or call.undone or call.request.key is None:
        return False
    return call.done or call.answer["replayed"] or is_recorded(call)


def is_recorded(call):
    """Denied, and the denial is to be kept; an item's never is."""
    return call.answer["status"] == "denied" and call.whole is call \
        and call.request.arguments.get("on_denial") == "record"


def keys_to_be(effects, made):
    """The keys that must be there, and those that may."""
    sure = set(made)
    possible = set()
    for transaction in effects.log:
        if transaction.fate == "rolled back":
            continue
        found = sure if transaction.fate == "committed" else possible
        for call in {*transaction.calls, *transaction.parts}:
            if call.error == "lost":
                possible.update(part.request.key for part in (call, *call.parts))
            elif call.answer is not None and not call.undone \
                    and (call.request.function == "post" and call.done
                         or call in effects.idle or is_recorded(call)):
                found.add(call.request.key)
    return sure - {None}, possible - {None}


def differs_from_batch(call, book):
    """A batch under one key against the rows that the key leads to."""
    if call.request.function != "post" or call.request.key is None or not call.done:
        return []
    stored = typed(book.keys[call.request.key]["result"]) \
        if call.request.key in book.keys else {}
    told = [part.answer for part in call.parts]
    rows = [book.by_id.get(answer["id"]) for answer in told]
    if None not in rows and stored.get("count") == len(told) \
            and {answer["batch_id"] for answer in told} == {stored["batch_id"]} \
            and [(answer["debit_version"], answer["credit_balance"]) for answer in told] \
            == [(row["debit_version"], row["credit_posted"]) for row in rows]:
        return []
    return [(call.request.key, told)]


def denied_after(effects, made):
    """
    Denials of what was done already: they saw a version in which their own
    effect was, or were asked for after it was decided, and so had to wait for
    the account until it was committed.
    """
    late = []
    for transaction in effects.log:
        for call in transaction.parts:
            key = call.request.key
            if call.answer is None or call.answer["status"] != "denied" \
                    or transaction.fate != "committed" or key not in made:
                continue
            effect = effects.book.by_id[made[key]]
            twin = effects.calls[made[key]].request
            if (twin.function, twin.arguments) == \
                    (call.request.function, call.request.arguments) \
                    and (effect["recorded_at"] < call.sent
                         or not call.undone  # else its versions may be undone too
                         and effect["debit_version"] <= call.answer["debit_version"]):
                late.append((key, call.answer))
    return late


def same(answer, stored):
    stored = typed(stored)
    return all(stored.get(name) == value for name, value in answer.items()
               if name not in ("replayed", "ordinal"))


def claim_balances(claims, effects, funds):
    book = effects.book
    posted = collections.Counter({account: NONE for account in book.accounts})
    captured = collections.Counter()
    released = set()
    for row_id, call in effects.calls.items():
        row = book.by_id[row_id]
        if row["kind"] in MOVES:
            posted[row["debit_account"]] -= row["amount"]
            posted[row["credit_account"]] += row["amount"]
        if row["kind"] == "capture":
            captured[row["hold_id"]] += row["amount"]
            if call.request.arguments["final"]:
                released.add((row["hold_id"], "captured"))
        if row["kind"] == "release":
            released.add((row["hold_id"], "released"))
    for account in book.accounts:
        if account != WORLD:
            posted[account] += funds
            posted[WORLD] -= funds
    claims.none([(account, posted[account], row["posted"])
                 for account, row in book.accounts.items()
                 if posted[account] != row["posted"]],
                "balances are the sums of the acknowledged movements")
    claim_holds(claims, book, captured, dict(released))


def claim_holds(claims, book, captured, ended):
    wrong = []
    for hold_id, hold in book.holds.items():
        taken = captured[hold_id]
        state = ended.get(hold_id)
        if state is None and taken == hold["amount"]:
            state = "captured"
        states = [state] if state else ["open", "expired"]
        if taken != hold["captured"] or hold["state"] not in states:
            wrong.append((hold_id, hold["state"], hold["captured"], states, taken))
    claims.none(wrong, "every hold was captured, released or left as acknowledged")


def claim_histories(claims, effects):
    """Follow each account through its versions."""
    book = effects.book
    denied = denials(book, effects.log)
    wrong = []
    unjust = []
    for account in book.accounts.values():
        history = follow(account, book)
        for version, side, row, posted, reserved in history:
            if is_decided(row, effects.calls.get(row["id"]), history, version):
                wrong += beyond(account, book, side, row, posted, reserved[side])
                wrong += stingy(account, effects, row, history, version)
            for other in ("debit", "credit"):
                for call in denied[other, account["account_id"], version]:
                    unjust += unjustly(account, book, other, call, posted,
                                       reserved[other])
        wrong += [(account["account_id"], version, place)
                  for place, (version, *_) in enumerate(history, 1)
                  if version != place]
        wrong += [(account["account_id"], version, posted)
                  for version, side, row, posted, _ in history
                  if posted != row[side + "_posted"]]
    claims.none(wrong, "no version is missing, and no row is below a minimum or above a maximum")
    claims.none(unjust, "nothing was denied that the balance and the limit allowed")


def is_decided(row, call, history, version):
    """
    A limit was tested here.  An atomic batch is tested as a whole: after its
    last version of the account.
    """
    if row["kind"] == "adjust":
        return new_amount(row) > decimal.Decimal(str(row["metadata"]["old_amount"]))
    if row["kind"] not in LIMITED:
        return False
    if call is None or call.whole is call or call.whole.request.mode != "atomic":
        return True
    return version == len(history) or history[version][2]["batch_id"] != row["batch_id"]


def stingy(account, effects, row, history, version):
    """transfer_up_to moved less than was asked though there was more."""
    call = effects.calls.get(row["id"])
    if call is None or call.request.function != "transfer_up_to" \
            or row["debit_account"] != account["account_id"] \
            or row["amount"] == call.request.arguments["max_amount"]:
        return []
    taker = effects.book.accounts[row["credit_account"]]
    posted, reserved = history[version - 1][3:]
    full = taker["max_balance"] is not None
    bound = sum((rest for hold_id, rest in reserved["debit"].items()
                 if effects.book.holds[hold_id]["expires_at"] > row["recorded_at"]), NONE)
    if full or posted - bound == account["min_balance"]:
        return []
    return [(account["account_id"], row["id"], "gave %s" % row["amount"], posted, bound)]


def denials(book, log):
    """Calls that were denied for a limit, by the side and version they saw."""
    found = collections.defaultdict(list)
    sides = {"insufficient_funds": "debit", "limit_exceeded": "credit"}
    for transaction in log:
        for call in transaction.parts:
            if transaction.fate != "committed" or call.undone or call.answer is None \
                    or call.answer["replayed"]:
                continue
            side = sides.get(call.answer["reason"])
            version = call.answer.get("%s_version" % side)
            if version is not None:
                found[side, account_of(book, call, side), version].append(call)
    return found


def account_of(book, call, side):
    given = call.request.arguments
    if call.request.function == "reverse":
        original = book.by_id[given["id"]]
        return original["%s_account" % {"debit": "credit", "credit": "debit"}[side]]
    if call.request.function == "adjust_hold":
        return book.holds[given["hold"]]["%s_account" % side]
    return given["%s_account" % side]


def asked(book, call):
    """What would have done; None where that cannot be said."""
    given = call.request.arguments
    if call.request.function == "transfer_up_to":
        return max(given["min_amount"] or NONE, decimal.Decimal("0.01"))
    if call.request.function == "adjust_hold":
        return given["amount"] - book.amount_of(given["hold"], call.answer["debit_version"])
    return given.get("amount")


def unjustly(account, book, side, call, posted, reserved):
    """Holds that were due when the call was sent bind nothing."""
    amount = asked(book, call)
    if amount is None:
        return []
    bound = sum((rest for hold_id, rest in reserved.items()
                 if rest and book.holds[hold_id]["expires_at"] > call.sent), NONE)
    if side == "debit":
        just = posted - bound - amount < account["min_balance"]
    else:
        just = posted + bound + amount > account["max_balance"]
    return [] if just else [(account["account_id"], call.answer, posted, bound)]


def claim_reversals(claims, book):
    undone = collections.Counter()
    for row in book.journal:
        if row["kind"] == "reversal":
            undone[row["reverses"]] += row["amount"]
    claims.none([(row_id, amount, book.by_id[row_id]["amount"])
                 for row_id, amount in undone.items()
                 if amount > book.by_id[row_id]["amount"]],
                "no reversals exceed what they reverse")


def follow(account, book):
    """
    The account's history: version, side, row, posted after it, and for each
    side what remains after it of every hold.
    """
    number = account["account_id"]
    sides = []
    for row in book.journal:
        for side in ("debit", "credit"):
            if row[side + "_account"] == number and row[side + "_version"] is not None:
                sides.append((row[side + "_version"], side, row))
    sides.sort(key=lambda entry: entry[0])
    history = []
    posted = NONE
    reserved = {"debit": {}, "credit": {}}
    for version, side, row in sides:
        if row["kind"] in MOVES:
            posted += row["amount"] if side == "credit" else -row["amount"]
        reserve(reserved[side], row)
        held = {name: {hold: rest for hold, rest in holds.items() if rest}
                for name, holds in reserved.items()}
        history.append((version, side, row, posted, held))
    return history


def reserve(reserved, row):
    """What remains of the holds on this side after the row."""
    if row["hold_id"] is None:
        return
    change = {"hold": row["amount"], "extend": NONE}.get(row["kind"], -row["amount"])
    if row["kind"] == "adjust":
        change = new_amount(row) - decimal.Decimal(str(row["metadata"]["old_amount"]))
    reserved[row["hold_id"]] = reserved.get(row["hold_id"], NONE) + change


def beyond(account, book, side, row, posted, reserved):
    """The row against the limit that it was decided by."""
    if side == "credit" and account["max_balance"] is None:
        return []  # its holds are not kept in its history
    bound = sum((rest for hold_id, rest in reserved.items()
                 if rest and book.holds[hold_id]["expires_at"] > row["recorded_at"]), NONE)
    if side == "debit" and account["min_balance"] is not None \
            and posted - bound < account["min_balance"]:
        return [(account["account_id"], row["id"], posted, bound)]
    if side == "credit" and posted + bound > account["max_balance"]:
        return [(account["account_id"], row["id"], posted, bound)]
    return []


def claim_errors(claims, log):
    errors = [(t.shape, t.level, t.phase, error) for t in log for error in t.errors]
    claims.none([e for e in errors if e[3] not in KNOWN_ERRORS],
                "no error but those that are documented")
    claims.none([e for e in errors if e[3] == "40P01" and e[2] == "orderly"],
                "no deadlock among transactions of one call, or that locked first")
    claims.none([e for e in errors if e[3] == "40001" and e[1] == "READ COMMITTED"],
                "no 40001 at READ COMMITTED")


def claim_expiry(claims, book, log, expired_before):
    swept = sum(t.swept for t in log if t.fate == "committed")
    expired = count_expired(book.connection) - expired_before
    claims.that(swept <= expired, "a sweep that says it expired a hold did",
                "%d said, %d there" % (swept, expired))
    early = [row["id"] for row in book.journal if row["kind"] == "expire"
             and row["recorded_at"] < book.holds[row["hold_id"]]["expires_at"]]
    late = [row["id"] for row in book.journal if row["kind"] == "capture"
            and row["recorded_at"] >= book.holds[row["hold_id"]]["expires_at"]]
    claims.none(early + late, "no hold expired early or was captured late")
    claims.none([row["id"] for row in book.journal if row["kind"] == "extend"
                 and row["recorded_at"] >= datetime.datetime.fromisoformat(
                     row["metadata"]["old_expires_at"])],
                "no hold was extended that was due")


def mix_of(effects, watcher, disturber):
    """How often the run met what; a run that met nothing proves nothing."""
    met = collections.Counter()
    for transaction in effects.log:
        met[transaction.fate] += 1
        met[transaction.shape] += 1
        met[transaction.level] += 1
        met["swept"] += transaction.swept
        for error in transaction.errors:
            met[error] += 1
        for call in transaction.calls:
            met["undone"] += call.undone and call.error is None
            met["lost"] += call.error == "lost"
            if call.answer is not None:
                met[call.request.function] += 1
                met["recorded"] += is_recorded(call)
            if call.answer is not None and call.request.function == "post":
                met[call.request.mode] += 1
                met["in part"] += len({part.answer["replayed"] for part in call.parts}) > 1
            for part in call.parts if call.answer is not None else ():
                met["denied"] += part.answer["status"] == "denied"
                met["replayed"] += part.answer["replayed"]
    met["cancels"] = disturber.cancelled
    met["kills"] = disturber.terminated
    met["verifies"] = watcher.rounds
    return met


MUST_MEET = (
    "committed", "rolled back", "unknown", "one", "locked", "loose",
    "REPEATABLE READ", "SERIALIZABLE", "swept", "undone", "lost", "transfer",
    "hold", "capture", "release", "post", "atomic", "independent", "in part",
    "reverse", "transfer_up_to", "extend_hold", "adjust_hold", "recorded",
    "denied", "replayed", "verifies", "TL001",
    "TL002", "TL003", "TL004", "TL006", "22023", "55000", "40001", "40P01", "55P03",
    "57014", "MD001",
)


def everything(connection, ledger, clients, watcher, disturber, expired_before,
               seconds, options):
    """All claims; the number of those that failed."""
    claims = Claims()
    book = Book(connection, ledger)
    effects = Effects(book, clients)
    met = mix_of(effects, watcher, disturber)
    calls = sum(len(t.calls) + t.sweeps for t in effects.log)
    print("model: %d calls, %d transactions, %d journal rows, %d unknown calls"
          " resolved, %.1f s, seed %s" % (
              calls, len(effects.log), len(book.journal), effects.resolved,
              seconds, options.seed))
    print("model: " + ", ".join("%s %d" % pair for pair in sorted(met.items())))

    claims.none([one.crash for one in [*clients, watcher, disturber] if one.crash],
                "nobody met what he did not expect")
    claims.none([w for c in clients for w in c.warnings], "no warning from the server")
    claim_effects(claims, effects)
    claim_keys(claims, effects)
    claim_balances(claims, effects, options.funds)
    claim_histories(claims, effects)
    claim_reversals(claims, book)
    claim_expiry(claims, book, effects.log, expired_before)
    claim_errors(claims, effects.log)
    claims.none(watcher.found, "verify() found nothing while the clients were at work")
    claims.none(connection.execute("SELECT * FROM teller.verify(%s)", (ledger,)).fetchall(),
                "verify() finds nothing in the end")
    if options.calls >= ENOUGH_CALLS and options.accounts >= ENOUGH_ACCOUNTS \
            and options.disturb_ms > 0:
        claims.none([what for what in MUST_MEET if not met[what]],
                    "the run met every kind of call, refusal and disturbance")
    return claims.end()
