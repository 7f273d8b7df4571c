"""The end of an example: every table as the model has it, and the journal
replayed from its own rows alone."""

import psycopg

from book import BOUND, View, money
from driver import Difference

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
        self.accounts()
        self.holds()
        self.keys()
        self.replay()
        self.agree("teller.verify()", [], [
            dict(row) for row in self.rows("SELECT * FROM teller.verify(%s)")])

    def accounts(self):
        want = {a.id: (money(a.posted, a.scale), money(a.pending_debit, a.scale),
                       money(a.pending_credit, a.scale), a.version, a.name)
                for a in self.view.all("account")}
        got = {r["account_id"]: (r["posted"], r["pending_debit"], r["pending_credit"],
                                 r["version"], r["name"])
               for r in self.rows("SELECT * FROM teller.account WHERE ledger_id = %s")}
        self.agree("accounts", sorted(want.items()), sorted(got.items()))

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
            self.chain(account, chain)
            self.moments(account, chain)

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
