"""The end of an example: every table as the model has it, and the journal
replayed from its own rows alone."""

import time

import psycopg

from book import BOUND, View, money
from driver import PATIENCE_S, Difference

SIGNS = {"hold": 1, "capture": -1, "release": -1, "expire": -1}
MOVES = ("transfer", "capture", "reversal")


class Audit:
    def __init__(self, driver):
        self.driver = driver
        self.book = driver.book
        self.eye = driver.server.eye
        self.view = View(self.book.committed, [])

    def rows(self, sql, *parameters):
        return self.eye.execute(sql, (self.book.ledger, *parameters)).fetchall()

    def agree(self, what, expected, got):
        if str(expected) != str(got):
            transcript = self.driver.transcript + [
                "at the end: " + what, "   expected: %s" % (expected,),
                "   got:      %s" % (got,)]
            raise Difference("\n".join(transcript))

    def everything(self):
        self.hot_balances("before a fold")
        self.accounts()
        self.hot_balances("after a fold")
        self.holds()
        self.keys()
        self.replay()
        self.agree("teller.verify()", [], [
            dict(row) for row in self.rows("SELECT * FROM teller.verify(%s)")])

    def accounts(self):
        want = {a.id: (money(a.posted, a.scale), money(a.pending_debit, a.scale),
                       money(a.pending_credit, a.scale), a.version, a.name,
                       money(a.least, a.scale), money(a.most, a.scale))
                for a in self.view.all("account")}
        hot = [a.id for a in self.view.all("account") if a.hot]
        until = time.monotonic() + PATIENCE_S
        got = self.account_rows()
        while hot and want != got and time.monotonic() < until:
            if not self.driver.server.folds:
                for number in hot:
                    self.rows("SELECT teller.set_metadata(%s, %s, NULL)", number)
            got = self.account_rows()
        self.agree("accounts" + ", once all is folded" * bool(hot),
                   sorted(want.items()), sorted(got.items()))

    def account_rows(self):
        return {r["account_id"]: (r["posted"], r["pending_debit"], r["pending_credit"],
                                  r["version"], r["name"], r["min_balance"],
                                  r["max_balance"])
                for r in self.rows("SELECT * FROM teller.account WHERE ledger_id = %s")}

    def hot_balances(self, when):
        for account in self.view.all("account"):
            if not account.hot:
                continue
            got = self.rows("SELECT * FROM teller.balance(%s, %s)", account.id)[0]
            self.agree("balance of hot account %d %s" % (account.id, when),
                       (money(account.posted, account.scale),
                        money(self.view.available(account), account.scale), None),
                       (got["posted"], got["available"], got["version"]))

    def holds(self):
        want = []
        for hold in self.view.all("hold"):
            scale = self.view.get("account", hold.debit).scale
            want.append((str(self.book.ids[hold.id]), hold.state, *(
                money(units, scale)
                for units in (hold.amount, hold.captured, hold.released))))
        got = [(str(r["hold_id"]), r["state"], r["amount"], r["captured"], r["released"])
               for r in self.rows("SELECT * FROM teller.hold WHERE ledger_id = %s")]
        self.agree("holds", sorted(want), sorted(got))

    def keys(self):
        want = [(key.key, key.function) for key in self.view.all("key")]
        got = [(r["key"], r["function"])
               for r in self.rows("SELECT * FROM teller.key WHERE ledger_id = %s")]
        self.agree("keys", sorted(want), sorted(got))

    # ---- the journal alone -------------------------------------------------

    def replay(self):
        """Chains of versions and balances, from the rows in their own order."""
        rows = self.rows("SELECT * FROM teller.journal WHERE ledger_id = %s")
        chains = {}
        for row in rows:
            for side in ("debit", "credit"):
                if row[side + "_version"] is not None:
                    chains.setdefault(row[side + "_account"], []).append(
                        (row[side + "_version"], side, row))
        self.agree("journal rows", len(self.view.all("row")), len(rows))
        for account in self.view.all("account"):
            chain = sorted(chains.get(account.id, []), key=lambda link: link[0])
            if account.mixed:
                self.sums(account, chain, rows)
                self.history(account, rows)
                continue
            self.chain(account, chain)
            self.moments(account, chain)

    def pages(self, account):
        """The statement of a hot account, three rows at a time."""
        last = None
        while True:
            page = self.rows(
                "SELECT * FROM teller.statement(%s, %s, after_id => %s, max_rows => 3)",
                account.id, last)
            if not page:
                return
            yield from page
            last = page[-1]["journal_id"]

    def history(self, account, rows):
        """What statement() and balance_at() tell of an account that is or was
        hot: all its rows, each once, and at each moment their sum until then."""
        told = self.rows("SELECT * FROM teller.statement(%s, %s, max_rows => 10000)",
                         account.id)
        self.agree("statement of hot account %d in pages" % account.id,
                   [row["journal_id"] for row in told],
                   [row["journal_id"] for row in self.pages(account)])
        mine = []
        for row in rows:
            for side, sign in (("debit", -1), ("credit", 1)):
                if row[side + "_account"] == account.id and (
                        row[side + "_version"] is not None
                        or row[side + "_epoch"] is not None):
                    mine.append((str(row["id"]), side, row[side + "_version"],
                                 row["recorded_at"], row["effective_at"],
                                 sign * row["amount"] if row["kind"] in MOVES else 0))
        self.agree("statement of hot account %d" % account.id,
                   sorted(one[:2] for one in mine),
                   sorted((str(row["journal_id"]), row["side"]) for row in told))
        versions = [row["version"] for row in told if row["version"] is not None]
        self.agree("versions of account %d, hot at times, in its statement" % account.id,
                   list(range(1, account.version + 1)), versions)
        for moment in {one[3] for one in mine}:
            for by, column in (("recorded", 3), ("effective", 4)):
                self.moment(account, moment, by, sum(
                    (one[5] for one in mine if one[column] <= moment),
                    money(0, account.scale)))

    def sums(self, account, chain, rows):
        """The rows of a hot account have no order, but add up."""
        what = "account %d, hot at times, from the journal alone, " % account.id
        posted = money(0, account.scale)
        pending = {"debit": posted, "credit": posted}
        unordered = 0
        for row in rows:
            for side in ("debit", "credit"):
                if row[side + "_account"] != account.id:
                    continue
                if row["kind"] in MOVES:
                    posted += row["amount"] if side == "credit" else -row["amount"]
                if side == "debit" or account.most is not None:
                    pending[side] += self.bound(row)
                numbers = {row[side + name] is None
                           for name in ("_version", "_posted", "_pending")}
                self.agree(what + "one of version, balances", 1, len(numbers))
                unordered += row[side + "_epoch"] is not None and numbers == {True}
        self.agree(what + "versions", list(range(1, account.version + 1)),
                   [version for version, *_ in chain])
        self.agree(what + "rows without a version",
                   sum(posting.hot for posting in account.postings), unordered)
        self.agree(what + "its balances",
                   (posted, pending["debit"], pending["credit"]),
                   (money(account.posted, account.scale),
                    money(account.pending_debit, account.scale),
                    money(account.pending_credit, account.scale)))

    def chain(self, account, chain):
        what = "account %d from the journal alone, " % account.id
        posted = money(0, account.scale)
        pending = {"debit": posted, "credit": posted}
        for number, (version, side, row) in enumerate(chain, 1):
            if row["kind"] in MOVES:
                posted += row["amount"] if side == "credit" else -row["amount"]
            if side == "debit" or account.most is not None:
                pending[side] += self.bound(row)
            self.agree(what + "version", number, version)
            self.agree(what + "posted at version %d" % number, posted,
                       row[side + "_posted"])
            self.agree(what + "pending at version %d" % number, pending[side],
                       row[side + "_pending"])
        self.agree(what + "its balances",
                   (posted, pending["debit"], pending["credit"]),
                   (money(account.posted, account.scale),
                    money(account.pending_debit, account.scale),
                    money(account.pending_credit, account.scale)))

    @staticmethod
    def bound(row):
        """What the row's hold binds more than before, or less."""
        if row["kind"] == "adjust":
            change = row["metadata"]
            larger = change["new_amount"] > change["old_amount"]
            return row["amount"] if larger else -row["amount"]
        return SIGNS.get(row["kind"], 0) * row["amount"]

    def moments(self, account, chain):
        """statement() tells the chain, balance_at() each of its moments."""
        told = self.rows("SELECT version, posted, recorded_at"
                         " FROM teller.statement(%s, %s, max_rows => 10000)", account.id)
        self.agree("statement of account %d" % account.id,
                   [(v, row[side + "_posted"]) for v, side, row in chain],
                   [(r["version"], r["posted"]) for r in told])
        times = [r["recorded_at"] for r in told]
        self.agree("recorded times of account %d" % account.id, sorted(times), times)
        if not told:
            return
        last = {}
        for row in told:
            last[row["recorded_at"]] = row["posted"]
        for moment, posted in last.items():
            self.moment(account, moment, "recorded", posted)
            effective = sum((
                (1 if side == "credit" else -1) * row["amount"]
                for _, side, row in chain
                if row["kind"] in MOVES and row["effective_at"] <= moment),
                money(0, account.scale))
            self.moment(account, moment, "effective", effective)

    def moment(self, account, moment, by, expected):
        try:
            got = self.rows("SELECT teller.balance_at(%s, %s, %s, %s) AS posted",
                            account.id, moment, by)[0]["posted"]
        except psycopg.errors.NumericValueOutOfRange:
            got = "22003"
        if abs(expected).scaleb(account.scale) >= BOUND:
            expected = "22003"
        self.agree("balance_at(%s, by => %r) of account %d" % (moment, by, account.id),
                   expected, got)
