"""The ledger outside: a bank that is not always heard, and what it has paid."""

import decimal
import random
import threading

import psycopg

from request import BANK

LEASE = "1 s"  # the shortest: what was not heard is claimed again after it


class Bank:
    """Keeps its word on each memo for ever, whatever becomes of our server."""

    def __init__(self, seed):
        self.random = random.Random("%s-bank" % seed)
        self.lock = threading.Lock()
        self.words = {}  # by memo
        self.paid = {}  # the same, of what was executed: (direction, amount)

    def word(self, verb, memo, request):
        """What it says; a refusal is kept as a payment is."""
        if verb == "lookup":
            return self.words.get(memo, "not_found")
        if memo not in self.words:
            self.words[memo] = "cancelled" if verb == "fence" else \
                self.random.choice(("executed", "executed", "executed", "rejected"))
            if self.words[memo] == "executed":
                self.paid[memo] = request["direction"], decimal.Decimal(request["amount"])
        return self.words[memo]

    def serve(self, connection, clear):
        """
        Carry out what can be claimed.  Unless the line is clear some is not
        sent, and of some the answer is lost, or comes as a doubt.  Who claims
        sends only after the commit: not if the claim failed.
        """
        claimed = connection.execute(
            "SELECT * FROM teller.claim(%s, 50, %s::interval)", [BANK, LEASE]).fetchall()
        for row in claimed:
            with self.lock:
                how = "heard" if clear else self.random.choices(
                    ("heard", "not sent", "lost", "doubt"), (16, 2, 1, 1))[0]
                word = None
                if how != "not sent":
                    word = self.word(row["request"]["verb"], row["memo"].hex(),
                                     row["request"])
            try:
                self.tell(connection, row, "in_doubt" if how == "doubt" else word, how)
            except psycopg.errors.ObjectNotInPrerequisiteState:
                pass  # the lease was over: it is claimed again, and says the same

    @staticmethod
    def tell(connection, row, word, how):
        if how == "not sent":
            connection.execute("SELECT teller.release_claim(%s, %s, %s, false)",
                               [row["ledger_id"], row["id"], row["token"]])
        elif how != "lost":
            connection.execute("SELECT teller.complete(%s, %s, %s, %s, %s)",
                               [row["ledger_id"], row["id"], row["token"], row["memo"], word])

    def has_now(self):
        """What we have there by its book."""
        return sum(amount if direction == "withdraw" else -amount
                   for direction, amount in self.paid.values())
