"""What hypothesis chooses: who does what, with which values."""

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

import nasty
from book import text
from calls import Call
from decide import evaluate
from driver import SESSIONS, Driver
from journal import Audit
from locks import sure_and_best, wants

# Accounts 1 and 8 have no limits, 6 is the world outside in JPY; 9 may be opened.
ACCOUNTS = (
    {"account": 1, "asset": "USD", "name": "n1", "min_balance": None},
    {"account": 2, "asset": "USD", "name": "n2"},
    {"account": 3, "asset": "USD"},
    {"account": 4, "asset": "USD", "min_balance": "-50"},
    {"account": 5, "asset": "USD", "max_balance": "40"},
    {"account": 6, "asset": "JPY", "min_balance": None},
    {"account": 7, "asset": "JPY", "name": "n7", "max_balance": "5000"},
    {"account": 8, "asset": "USD", "min_balance": None},
)
LATER = (
    {"account": 9, "asset": "USD", "name": "n9", "min_balance": "5", "max_balance": "60"},
    {"account": 3, "asset": "USD"},
    {"account": 3, "asset": "JPY"},
    {"account": 4, "asset": "USD", "min_balance": "-50.00"},
    {"account": 4, "asset": "USD", "min_balance": "-51"},
    {"account": 7, "asset": "JPY", "name": "n8", "max_balance": "5000"},
    {"account": None, "asset": "USD", "name": "n2"},
)
HOT = (3, 5, 7, 9)  # of a machine that has hot accounts
FUNDS = (2, "50"), (3, "20")
HUGE = "500000000000000000000000000000000000"  # twice is beyond 38 digits
TIMES = ("2020-01-01 00:00:00+00", "2021-06-01 00:00:00+00", "2090-01-01 00:00:00+00")
MOMENTS = TIMES + ("1990-01-01 00:00:00+00", "2020-12-31 00:00:00+00", "infinity")

who = st.sampled_from(SESSIONS)
# "all": what there is; "more": the smallest unit more than that.
amounts = st.one_of(st.integers(1, 3000), st.sampled_from(("all", "more")))
pairs = st.sampled_from(
    [(d, c) for d in range(1, 6) for c in range(1, 6) if d != c]
    + [(6, 7), (7, 6), (1, 8), (8, 1), (9, 2), (2, 9)])
picks = st.sampled_from((0, 0, 0, 1, 1, 2, 3, 5, 8))
keys = st.sampled_from((None, None, "new", "new", "old"))
denials = st.sampled_from((None, None, "raise", "return", "record"))
notes = st.sampled_from((None, None, '{"n": 1}', "[1, 2]"))
versions = st.sampled_from((None, None, None, "now", "stale"))
effective = st.sampled_from((None, None, None) + TIMES)
bounds = st.sampled_from((None, None, None, "0", "-20.5", "30"))
ttls = st.sampled_from((None, "1 hours", "2 hours", "3 hours", "1 microsecond"))
items = st.lists(st.tuples(pairs, st.integers(1, 2000), keys, notes, versions),
                 min_size=0, max_size=5)


class Machine(RuleBasedStateMachine):
    """server: set before a run, as is dues: holds may become due, as no worker
    is here that would expire them.  hot: there are hot accounts."""

    server = None
    hot = False
    dues = True

    def __init__(self):
        super().__init__()
        self.sound = True
        self.keyed = []  # calls that were made under a key
        self.driver = Driver(self.server)
        self.book = self.driver.book
        self.act("A", *(Call("open_account", self.opened(a)) for a in ACCOUNTS))
        self.act("A", *(Call("transfer", {"debit_account": 1, "credit_account": account,
                                          "amount": amount})
                        for account, amount in FUNDS))

    # ---- doing -------------------------------------------------------------

    def free(self, name):
        """This session, or another one if it waits."""
        turn = SESSIONS.index(name)
        for other in SESSIONS[turn:] + SESSIONS[:turn]:
            session = self.book.sessions[other]
            if not session.waiting:
                return session
        raise AssertionError("all sessions wait")

    def act(self, name, *calls):
        session = self.free(name)
        self.guarded(self.driver.recover, session)
        for call in calls:
            if call.key is not None and call.function != "find":
                self.keyed.append(call)
            self.guarded(self.driver.call, session, call)

    def guarded(self, function, *arguments):
        try:
            function(*arguments)
        except BaseException:
            self.sound = False
            raise

    def view(self, name):
        return self.book.view(self.free(name))

    # ---- choosing ----------------------------------------------------------

    def opened(self, account):
        """The arguments to open it with."""
        is_hot = self.hot and account["account"] in HOT
        return {**account, "hot": "true"} if is_hot else dict(account)

    def life(self, ttl):
        return "1 hours" if ttl == "1 microsecond" and not self.dues else ttl

    def is_mixed(self, view, number):
        account = view.get("account", number)
        return account is not None and account.mixed

    def key(self, choice):
        if choice == "old" and self.keyed:
            return self.keyed[-1].key
        return None if choice is None else "k%d" % (len(self.keyed) + 1)

    def units(self, view, number, chosen, there):
        """An amount as text: so many units, or what there is."""
        account = view.get("account", number)
        scale = account.scale if account else 2
        if chosen in ("all", "more"):
            there = 100 if there is None else there
            chosen = max(there, 1) + (chosen == "more")
        return text(chosen, scale)

    def version(self, view, number, chosen):
        account = view.get("account", number)
        if chosen is None or account is None:
            return None
        return account.version if chosen == "now" else max(account.version - 1, 0)

    def given(self, view, pair, amount):
        debit = view.get("account", pair[0])
        there = view.can_give(debit) if debit else None
        return {"debit_account": pair[0], "credit_account": pair[1],
                "amount": self.units(view, pair[0], amount, there)}

    @staticmethod
    def only(**arguments):
        return {name: value for name, value in arguments.items() if value is not None}

    def named(self, view, kind, letter, pick, wanted):
        """The name of one that is as wanted, if possible, or of any ever made."""
        seen = [v.id for v in view.all(kind) if wanted(v)]
        other = [n for n in self.book.ids if n[0] == letter and n not in seen]
        names = list(reversed(seen)) + list(reversed(other))
        return names[pick % len(names)] if names else nasty.NOBODY

    def any_made(self, letter):
        return any(name[0] == letter for name in self.book.ids)

    def hold_named(self, view, pick):
        return self.named(view, "hold", "h", pick, lambda h: h.state == "open")

    def reversible(self, view, pick):
        return self.named(view, "row", "r", pick,
                          lambda r: r.kind in ("transfer", "capture") and r.rest)

    # ---- transactions ------------------------------------------------------

    @rule(name=who)
    def begin(self, name):
        session = self.free(name)
        self.guarded(self.driver.recover, session)
        if not session.layers:
            self.guarded(self.driver.control, session, "BEGIN")
        elif len(session.layers) < 4:
            self.guarded(self.driver.control, session,
                         "SAVEPOINT s%d" % len(session.layers))

    @rule(name=who, pair=pairs, amount=st.integers(1, 3000), meanwhile=st.sampled_from((
        "transfer", "transfer_up_to", "post", "hold", "capture", "release",
        "extend_hold", "adjust_hold", "reverse", "reverse_batch", "again")), pick=picks)
    def cross(self, name, pair, amount, meanwhile, pick):
        """A transfer stays open; another session may have to wait for it."""
        session = self.free(name)
        self.guarded(self.driver.recover, session)
        if not session.layers:
            self.guarded(self.driver.control, session, "BEGIN")
        self.act(session.name, Call("transfer", self.given(
            self.view(session.name), pair, amount)))
        other = SESSIONS[(SESSIONS.index(session.name) + 1) % len(SESSIONS)]
        call = self.plain(other, meanwhile, pair, pick)
        if call is not None:
            self.act(other, call)

    @precondition(lambda self: self.hot)
    @rule(name=who, pair=st.sampled_from(
            ((1, 3), (1, 3), (3, 1), (1, 5), (5, 1), (3, 5), (5, 3))),
          amount=st.integers(1, 2000), deep=st.booleans(), lasting=st.booleans(),
          taken=st.sampled_from(((3, 8), (3, 8), (3, 5), (8, 5), (5, 8))),
          edge=st.sampled_from(("sure", "best")), more=st.sampled_from((0, 1, 1)),
          function=st.sampled_from(("transfer", "transfer", "hold", "post", "adjust_hold")))
    def contend(self, name, pair, amount, deep, lasting, taken, edge, more, function):
        """A hot account has something in flight, and another session takes all
        that is sure then, or all that there is at best, or a bit more."""
        self.begin(name)
        if deep:
            self.begin(name)
        session = self.free(name)
        self.act(session.name, Call("transfer", self.given(
            self.view(session.name), pair, amount)))
        taker = self.free(SESSIONS[(SESSIONS.index(session.name) + 1) % len(SESSIONS)])
        self.guarded(self.driver.recover, taker)
        if lasting and not taker.layers:
            self.guarded(self.driver.control, taker, "BEGIN")
        view = self.book.view(taker)
        side, account = ("credit", 5) if taken == (8, 5) else ("debit", taken[0])
        sure, best = sure_and_best(self.book, taker, view.base("account", account), side)
        there = sure if edge == "sure" else best
        units = 100 if there is None else there + more
        call = self.taking(view, function, taken, max(units, 1))
        if call is not None:
            self.act(taker.name, call)

    @precondition(lambda self: self.hot)
    @rule(name=who, pair=st.sampled_from(((1, 3), (3, 8), (3, 5), (5, 3), (1, 5))),
          amount=st.integers(1, 1000))
    def nest(self, name, pair, amount):
        """What a savepoint did that was released stays when a later one, of the
        same depth, is undone."""
        for last in ("RELEASE SAVEPOINT", "ROLLBACK TO SAVEPOINT"):
            self.begin(name)
            if len(self.free(name).layers) == 1:
                self.begin(name)
            self.act(name, Call("transfer", self.given(self.view(name), pair, amount)))
            self.back(name, last)

    def taking(self, view, function, pair, units):
        given = {"debit_account": pair[0], "credit_account": pair[1],
                 "amount": text(units, view.get("account", pair[0]).scale)}
        if function == "post":
            return Call(function, {column + "s": [value]
                                   for column, value in given.items()})
        if function != "adjust_hold":
            return Call(function, given)
        hold = next((h for h in view.all("hold") if h.binds and h.debit == pair[0]), None)
        return hold and Call(function, {"hold": hold.id, "amount": text(
            hold.amount + units, view.get("account", pair[0]).scale)})

    def plain(self, name, function, pair, pick):
        """The call that takes most, or all that is left; None if there is none."""
        view = self.view(name)
        if function == "again":
            return self.asked(name, pick) if self.keyed else None
        given = self.given(view, pair, "all")
        if function in ("transfer", "hold"):
            return Call(function, given)
        if function == "transfer_up_to":
            return Call(function, {"debit_account": pair[0], "credit_account": pair[1],
                                   "max_amount": given["amount"]})
        if function == "post":
            return Call(function, {column + "s": [value]
                                   for column, value in given.items()})
        if function == "reverse":
            return Call(function, {"id": self.reversible(view, pick)})
        if function == "reverse_batch":
            return Call(function, {
                "batch_id": self.named(view, "batch", "b", pick, lambda b: True)})
        more = {"extend_hold": {"ttl": "6 hours"}, "adjust_hold": {"amount": "1"}}
        return Call(function, {"hold": self.hold_named(view, pick),
                               **more.get(function, {})})

    @precondition(lambda self: self.driver.waiting)
    @rule(how=st.sampled_from(("COMMIT", "ROLLBACK")))
    def let_go(self, how):
        """Who is in the way of the call that waits ends its transaction."""
        waiting = self.driver.waiting
        view = self.book.view(waiting.session)
        session = self.book.first_holder(waiting.session, wants(view, waiting.call))
        if waiting.session.until:
            session = waiting.session.until[0]
        self.guarded(self.driver.control, session, how)

    @rule(name=who, how=st.sampled_from(("COMMIT", "COMMIT", "ROLLBACK")))
    def end(self, name, how):
        session = self.free(name)
        if session.layers:
            self.guarded(self.driver.control, session, how)

    @rule(name=who, how=st.sampled_from(("ROLLBACK TO SAVEPOINT", "RELEASE SAVEPOINT")))
    def back(self, name, how):
        session = self.free(name)
        savepoint = session.layers[-1].savepoint if session.layers else None
        # Who waits for a savepoint that is released waits for the whole
        # transaction from then on, also if that is later rolled back in part.
        if how.startswith("RELEASE") and self.driver.waiting:
            return
        if savepoint and not (session.failed and how.startswith("RELEASE")):
            self.guarded(self.driver.control, session, "%s %s" % (how, savepoint))

    @rule(name=who)
    def in_failed(self, name):
        session = self.free(name)
        if session.failed:
            self.guarded(self.driver.in_failed, session,
                         Call("transfer", dict(nasty.TRANSFER)))

    # ---- movements ---------------------------------------------------------

    @rule(name=who, pair=pairs, amount=amounts)
    def transfer(self, name, pair, amount):
        self.act(name, Call("transfer", self.given(self.view(name), pair, amount)))

    @rule(name=who, pair=pairs, amount=amounts, key=keys, version=versions,
          at=effective, note=notes, on_denial=denials, least=bounds, most=bounds)
    def transfer_with(self, name, pair, amount, key, version, at, note, on_denial,
                      least, most):
        view = self.view(name)
        if on_denial == "record" and key is None:
            key = "new"
        if pair[0] in (6, 7):
            least = most = None
        self.act(name, Call("transfer", {
            **self.given(view, pair, amount), **self.only(
                key=self.key(key), expected_version=self.version(view, pair[0], version),
                effective_at=at, metadata=note, on_denial=on_denial, min_after=least,
                max_after=most)}))

    @rule(name=who, pair=st.sampled_from(((1, 8), (8, 1))),
          function=st.sampled_from(("transfer", "transfer", "hold")))
    def huge(self, name, pair, function):
        self.act(name, Call(function, {
            "debit_account": pair[0], "credit_account": pair[1], "amount": HUGE}))

    @rule(name=who, pair=pairs, amount=st.integers(1, 9000),
          least=st.sampled_from((None, 1, 500, 2000)), key=keys, on_denial=denials)
    def transfer_up_to(self, name, pair, amount, least, key, on_denial):
        view = self.view(name)
        if on_denial == "record" and key is None:
            key = "new"
        given = self.given(view, pair, amount)
        if least is not None:
            least = self.units(view, pair[0], min(least, amount), None)
        self.act(name, Call("transfer_up_to", self.only(
            debit_account=pair[0], credit_account=pair[1], max_amount=given["amount"],
            min_amount=least, key=self.key(key), on_denial=on_denial)))

    @rule(name=who, credit=st.integers(1, 5), amount=st.integers(1, 9000), key=keys,
          debits=st.lists(st.sampled_from((1, 2, 2, 3, 3, 4, 5)), min_size=1, max_size=4, unique=True),
          at=effective, note=notes, on_denial=denials)
    def transfer_from(self, name, credit, amount, key, debits, at, note, on_denial):
        if on_denial == "record" and key is None:
            key = "new"
        self.act(name, Call("transfer_from", self.only(
            debit_accounts=[d for d in debits if d != credit] or [8], credit_account=credit,
            amount=self.units(self.view(name), credit, amount, None), key=self.key(key),
            effective_at=at, metadata=note, on_denial=on_denial)))

    @rule(name=who, chosen=items, mode=st.sampled_from((None, "atomic", "independent")),
          key=keys, with_keys=st.booleans(), at=effective)
    def post(self, name, chosen, mode, key, with_keys, at):
        view = self.view(name)
        made = [self.given(view, pair, amount) for pair, amount, *_ in chosen]
        arguments = self.only(mode=mode, effective_at=at)
        arguments.update(
            (column + "s", [item[column] for item in made])
            for column in ("debit_account", "credit_account", "amount"))
        arguments["metadata"] = [note for *_, note, _ in chosen]
        arguments["expected_versions"] = [
            self.version(view, pair[0], version) for pair, *_, version in chosen]
        if with_keys:
            arguments["keys"] = [self.item_key(number, item[2])
                                 for number, item in enumerate(chosen)]
        elif mode != "independent" and key:
            arguments["key"] = self.key(key)
        self.act(name, Call("post", arguments))
        self.keyed += [Call("transfer", self.only(
            **item, key=item_key, effective_at=at, metadata=chosen[number][3],
            expected_version=arguments["expected_versions"][number]))
            for number, (item, item_key) in enumerate(zip(
                made, arguments.get("keys") or [None] * len(made))) if item_key]

    def item_key(self, number, choice):
        if choice == "old":
            return self.key("old")
        return None if choice is None else "k%d.%d" % (len(self.keyed) + 1, number)

    @rule(name=who, pick=picks, amount=st.one_of(st.none(), amounts), key=keys,
          on_denial=denials)
    def reverse(self, name, pick, amount, key, on_denial):
        view = self.view(name)
        chosen = self.reversible(view, pick)
        row = view.get("row", chosen)
        if amount is not None:
            amount = self.units(view, row.debit if row else 1, amount,
                                row.rest if row else 1)
        if on_denial == "record" and key is None:
            key = "new"
        self.act(name, Call("reverse", {"id": chosen, **self.only(
            amount=amount, key=self.key(key), on_denial=on_denial)}))

    @precondition(lambda self: self.any_made("b"))
    @rule(name=who, pick=picks, key=keys)
    def reverse_batch(self, name, pick, key):
        view = self.view(name)
        chosen = self.named(view, "batch", "b", pick, lambda b: True)
        self.act(name, Call("reverse_batch", {
            "batch_id": chosen, **self.only(key=self.key(key))}))

    # ---- holds -------------------------------------------------------------

    @rule(name=who, credit=st.integers(2, 5), amount=st.integers(1, 2000),
          ttl=st.sampled_from(("1 hours", "1 hours", "1 microsecond")))
    def hold_plain(self, name, credit, amount, ttl):
        self.act(name, Call("hold", {
            "debit_account": 1, "credit_account": credit, "amount": text(amount, 2),
            "ttl": self.life(ttl)}))

    @precondition(lambda self: self.any_made("h"))
    @rule(name=who, pick=picks, final=st.booleans())
    def capture_plain(self, name, pick, final):
        chosen = self.hold_named(self.view(name), pick)
        part = {} if final else {"amount": "1", "final": "false"}
        self.act(name, Call("capture", {"hold": chosen, **part}))

    @rule(name=who, pair=pairs, amount=amounts, ttl=ttls, key=keys, version=versions,
          note=notes, on_denial=denials)
    def hold(self, name, pair, amount, ttl, key, version, note, on_denial):
        view = self.view(name)
        if on_denial == "record" and key is None:
            key = "new"
        self.act(name, Call("hold", {**self.given(view, pair, amount), **self.only(
            ttl=self.life(ttl), key=self.key(key), metadata=note, on_denial=on_denial,
            expected_version=self.version(view, pair[0], version))}))

    @precondition(lambda self: self.any_made("h"))
    @rule(name=who, pick=picks, amount=st.one_of(st.none(), amounts),
          final=st.sampled_from((None, "true", "false", "false")), key=keys,
          on_denial=denials)
    def capture(self, name, pick, amount, final, key, on_denial):
        view = self.view(name)
        chosen = self.hold_named(view, pick)
        if amount is not None:
            amount = self.of_hold(view, chosen, amount)
        if on_denial == "record" and key is None:
            key = "new"
        self.act(name, Call("capture", {"hold": chosen, **self.only(
            amount=amount, final=final, key=self.key(key), on_denial=on_denial)}))

    def of_hold(self, view, chosen, amount):
        hold = view.get("hold", chosen)
        return self.units(view, hold.debit if hold else 1, amount,
                          hold.rest if hold else 1)

    @precondition(lambda self: self.any_made("h"))
    @rule(name=who, pick=picks, key=keys)
    def release(self, name, pick, key):
        chosen = self.hold_named(self.view(name), pick)
        self.act(name, Call("release", {
            "hold": chosen, **self.only(key=self.key(key))}))

    @precondition(lambda self: self.any_made("h"))
    @rule(name=who, pick=picks, key=keys,
          ttl=st.sampled_from(("1 hours", "4 hours", "5 hours", "1 microsecond")))
    def extend_hold(self, name, pick, key, ttl):
        chosen = self.hold_named(self.view(name), pick)
        self.act(name, Call("extend_hold", {
            "hold": chosen, "ttl": ttl, **self.only(key=self.key(key))}))

    @precondition(lambda self: self.any_made("h"))
    @rule(name=who, pick=picks, amount=amounts, key=keys, on_denial=denials)
    def adjust_hold(self, name, pick, amount, key, on_denial):
        view = self.view(name)
        chosen = self.hold_named(view, pick)
        if on_denial == "record" and key is None:
            key = "new"
        hold = view.get("hold", chosen)
        if hold and amount == "all":
            amount = max(hold.captured, 1)  # nothing remains
        elif hold and amount == "more":
            there = view.available(view.get("account", hold.debit))
            amount = hold.amount + min(max(1, there), 10000)
        self.act(name, Call("adjust_hold", {
            "hold": chosen, "amount": self.of_hold(view, chosen, amount),
            **self.only(key=self.key(key), on_denial=on_denial)}))

    @rule(name=who)
    def expire_due(self, name):
        self.act(name, Call("expire_due", {}))

    def asked(self, name, pick):
        """A call that was made under a key, rather one that has its answer."""
        view = self.view(name)
        done = [call for call in self.keyed if view.get("key", call.key)]
        calls = self.keyed if pick > 2 or not done else done
        return calls[-1 - pick % len(calls)]

    # ---- the same again ----------------------------------------------------

    @precondition(lambda self: self.keyed)
    @rule(name=who, pick=picks, how=st.sampled_from(
        ("same", "same", "same", "written", "amount", "other", "on_denial")))
    def again(self, name, pick, how):
        call = self.asked(name, pick)
        arguments = dict(call.arguments)
        if how == "written" and "." in arguments.get("amount", ""):
            arguments["amount"] = arguments["amount"].rstrip("0").rstrip(".")
        elif how == "amount" and "amount" in arguments:
            arguments["amount"] = "7"
        elif how == "on_denial" and "on_denial" in arguments:
            arguments["on_denial"] = "return"
        elif how == "other":
            call = Call("transfer", {})
            arguments = {**nasty.TRANSFER, "key": arguments["key"]}
        self.act(name, Call(call.function, arguments))

    # ---- accounts and reading ----------------------------------------------

    @rule(name=who, account=st.sampled_from(LATER))
    def open_account(self, name, account):
        self.act(name, Call("open_account", self.opened(account)))

    @precondition(lambda self: self.hot)
    @rule(account=st.sampled_from(HOT), stays=st.booleans())
    def switch(self, account, stays):
        """Made hot, or no longer, or folded, while nobody has it."""
        if not any(session.locked((kind, account))
                   for session in self.book.sessions.values()
                   for kind in ("account", "alone", "shared", "limits")):
            self.guarded(self.driver.switch, account, stays)

    @rule(name=who, account=st.integers(1, 9))
    def balance(self, name, account):
        self.act(name, Call("balance", {"account": account}))

    @rule(name=who, account=st.integers(1, 9), after=st.integers(0, 8),
          many=st.sampled_from((None, 1, 3)))
    def statement(self, name, account, after, many):
        if self.is_mixed(self.view(name), account):
            return
        self.act(name, Call("statement", {"account": account, **self.only(
            after_version=after or None, max_rows=many)}))

    @rule(name=who, account=st.integers(1, 9), at=st.sampled_from(MOMENTS),
          by=st.sampled_from((None, "recorded", "effective", "effective")))
    def balance_at(self, name, account, at, by):
        self.act(name, Call("balance_at", {
            "account": account, "at": at, **self.only(by=by)}))

    @precondition(lambda self: self.keyed)
    @rule(name=who, pick=picks)
    def find(self, name, pick):
        self.act(name, Call("find", {"key": self.asked(name, pick).key}))

    # By its number: hypothesis keeps the text of every strategy.
    @rule(name=who, chosen=st.integers(0, len(nasty.TABLE) - 1))
    def bad_input(self, name, chosen):
        function, arguments, code = nasty.TABLE[chosen]
        call = Call(function, dict(arguments))
        self.guarded(self.driver.recover, self.free(name))
        codes = evaluate(self.book, self.view(name), call).codes
        assert code in codes, "the model does not refuse %s with %s" % (call, code)
        self.act(name, call)

    # ---- the end -----------------------------------------------------------

    def teardown(self):
        if not self.sound:
            self.driver.abandon()
            return
        try:
            self.driver.close()
            Audit(self.driver).everything()
        except BaseException:
            self.driver.abandon()
            raise
        self.server.tidy()
