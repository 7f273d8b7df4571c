"""What the log of the clients says must be in the books, and what is there."""

import collections
import decimal

from psycopg.rows import dict_row

from request import WORLD, typed

NONE = decimal.Decimal(0)

# Nothing else may ever reach a client.
KNOWN_ERRORS = {
    "TL001", "TL002", "TL003", "TL004", "TL006", "22023", "40001", "40P01",
    "55P03", "57014", "MD001",
}
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
        self.releases = {(row["hold_id"], row["debit_version"]): row
                         for row in self.journal if row["kind"] == "release"}
        self.claimed = {}

    def read(self, sql):
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(sql, (self.ledger,)).fetchall()

    def found(self, key):
        """What teller.find() says of a key; None if it never happened."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute("SELECT * FROM teller.find(%s, %s)",
                                  (self.ledger, key)).fetchone()


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
        self.resolved = 0
        self.lost = [call for t in self.log if t.fate == "unknown"
                     for call in t.calls if call.answer is None and not call.undone]
        self.take_answers()
        self.resolve()

    def row_of(self, function, answer):
        """The journal row that an answer speaks of, if it is there."""
        if function == "hold":
            return self.book.placing.get(answer["id"])
        if function == "release":
            return self.book.releases.get((answer["id"], answer["debit_version"]))
        return self.book.by_id.get(answer["id"])

    def claim(self, call, row):
        if row["id"] in self.calls:
            self.wrong.append("journal %s is the effect of two calls" % row["id"])
        self.calls[row["id"]] = call
        tail = (row["hold_id"], row["debit_version"] + 1)
        if row["kind"] == "capture" and not row["ends_hold"] \
                and call.request.arguments["final"] and tail in self.book.releases:
            self.tails.add(self.book.releases[tail]["id"])

    def take_answers(self):
        for transaction in self.log:
            made = [call for call in transaction.calls
                    if call.done and not call.answer["replayed"]]
            rows = [self.row_of(call.request.function, call.answer) for call in made]
            if transaction.fate == "rolled back":
                continue
            if transaction.fate == "unknown":
                self.resolved += bool(made)
                if None in rows:
                    if any(row is not None for row in rows):
                        self.torn.append(rows)
                    continue
            for call, row in zip(made, rows):
                self.take_answer(call, row)

    def take_answer(self, call, row):
        given = call.request.arguments
        if row is None:
            self.wrong.append("%s %s was acknowledged and is not there"
                              % (call.request.function, call.answer["id"]))
            return
        self.claim(call, row)
        if call.request.function in ("transfer", "capture"):
            answered = [call.answer[name] for name in
                        ("amount", "debit_balance", "credit_balance")]
            booked = [row["amount"], row["debit_posted"], row["credit_posted"]]
            if answered != booked:
                self.wrong.append("%s was told, %s is there" % (answered, booked))
        for name in ("debit_account", "credit_account", "amount"):
            if given.get(name) not in (None, row[name]):
                self.wrong.append("%s: %s asked, %s is there"
                                  % (name, given[name], row[name]))

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

    def look_up(self, call, left):
        request = call.request
        if request.key is not None:
            found = self.book.found(request.key)
            if found is None or found["function"] != request.function:
                return None
            return self.row_of(request.function, typed(found["result"]))
        for row in left.values():
            if request.token is not None and row["token"] == request.token:
                return row
            if request.token is None and row["kind"] == request.function \
                    and row["hold_id"] == request.arguments["hold"]:
                return row
        return None


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
    claims.none(sorted(set(made) ^ set(keys)),
                "the keys in the books are those of the effects")
    wrong = []
    for transaction in effects.log:
        if transaction.fate != "committed":
            continue
        for call in transaction.calls:
            if call.done and call.request.key is not None:
                stored = keys.get(call.request.key)
                if stored is None or not same(call.answer, stored["result"]):
                    wrong.append((call.request.key, call.answer))
    claims.none(wrong, "the first answer and every replay of a key are the stored one")
    claims.none(denied_after(effects, made),
                "no call was denied after it had been done under its key")


def denied_after(effects, made):
    """Denials that saw a version in which their own effect was already."""
    late = []
    for transaction in effects.log:
        for call in transaction.calls:
            key = call.request.key
            if call.answer is None or call.answer["status"] != "denied" \
                    or transaction.fate != "committed" or key not in made:
                continue
            effect = effects.book.by_id[made[key]]
            twin = effects.calls[made[key]].request
            if (twin.function, twin.arguments) == \
                    (call.request.function, call.request.arguments) \
                    and effect["debit_version"] <= call.answer["debit_version"]:
                late.append((key, call.answer))
    return late


def same(answer, stored):
    stored = typed(stored)
    return all(stored.get(name) == value for name, value in answer.items()
               if name != "replayed")


def claim_balances(claims, effects, funds):
    book = effects.book
    posted = collections.Counter({account: NONE for account in book.accounts})
    captured = collections.Counter()
    released = set()
    for row_id, call in effects.calls.items():
        row = book.by_id[row_id]
        if row["kind"] in ("transfer", "capture"):
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


def claim_histories(claims, book, log):
    """Follow each account through its versions."""
    denied = denials(log)
    wrong = []
    unjust = []
    for account in book.accounts.values():
        history = follow(account, book)
        for version, side, row, posted, reserved in history:
            if row["kind"] in ("transfer", "hold"):
                wrong += beyond(account, book, side, row, posted, reserved[side])
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


def denials(log):
    """Calls that were denied for a limit, by the side and version they saw."""
    found = collections.defaultdict(list)
    sides = {"insufficient_funds": "debit", "limit_exceeded": "credit"}
    for transaction in log:
        for call in transaction.calls:
            if transaction.fate != "committed" or call.undone or call.answer is None:
                continue
            side = sides.get(call.answer["reason"])
            version = call.answer.get("%s_version" % side)
            if version is not None:
                account = call.request.arguments["%s_account" % side]
                found[side, account, version].append(call)
    return found


def unjustly(account, book, side, call, posted, reserved):
    """Holds that were due when the call was sent bind nothing."""
    amount = call.request.arguments["amount"]
    bound = sum((rest for hold_id, rest in reserved.items()
                 if rest and book.holds[hold_id]["expires_at"] > call.sent), NONE)
    if side == "debit":
        just = posted - bound - amount < account["min_balance"]
    else:
        just = posted + bound + amount > account["max_balance"]
    return [] if just else [(account["account_id"], call.answer, posted, bound)]


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
        if row["kind"] in ("transfer", "capture"):
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
    before = reserved.get(row["hold_id"], NONE)
    change = row["amount"] if row["kind"] == "hold" else -row["amount"]
    reserved[row["hold_id"]] = before + change


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
                met["denied"] += call.answer["status"] == "denied"
                met["replayed"] += call.answer["replayed"]
    met["cancels"] = disturber.cancelled
    met["kills"] = disturber.terminated
    met["verifies"] = watcher.rounds
    return met


MUST_MEET = (
    "committed", "rolled back", "unknown", "one", "locked", "loose",
    "REPEATABLE READ", "SERIALIZABLE", "swept", "undone", "lost", "transfer",
    "hold", "capture", "release", "denied", "replayed", "verifies", "TL001",
    "TL002", "TL003", "TL004", "TL006", "22023", "40001", "40P01", "55P03",
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
    claim_histories(claims, book, effects.log)
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
