"""pg_teller from Python: movements with a key, errors as exceptions, and
transactions that survive a lost connection.  For psycopg 3; copy this file.

    teller = Teller(lambda: psycopg.connect("dbname=shop"))
    teller.transfer(1, 2, 3, Decimal("20.00"), key="order 17")

or, with rows of your own in the same transaction:

    def work(tx):
        moved = tx.transfer(1, 2, 3, Decimal("20.00"), key="order 17")
        if not moved.replayed:
            tx.execute("INSERT INTO purchase VALUES (%s)", ["order 17"])
        return moved

    teller.transaction(work)

`work` may run more than once, so it has no effect outside the database.
One Teller has one connection: one for each thread.
"""

import random
import time
from decimal import Decimal

import psycopg
from psycopg.rows import namedtuple_row
from psycopg.types.json import Jsonb

# Nothing has happened; the same may be tried again.
TRY_AGAIN = frozenset({"40001", "40P01"})
LOCK_TIMEOUT = "55P03"

# The session is over: shutdown, crash, time limits; 40003 says itself that
# the outcome is unknown.  With these goes all of class 08.
SESSION_OVER = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "40003"})


class TellerError(Exception):
    """What pg_teller refused.  Nothing has happened."""

    sqlstate = None

    def __init__(self, message, detail=None, hint=None):
        super().__init__(message)
        self.detail = detail
        self.hint = hint


class InsufficientFunds(TellerError):
    sqlstate = "TL001"


class VersionConflict(TellerError):
    sqlstate = "TL002"


class IdempotencyMismatch(TellerError):
    sqlstate = "TL003"


class LimitExceeded(TellerError):
    sqlstate = "TL004"


class AccountNotActive(TellerError):
    sqlstate = "TL005"


class HoldNotOpen(TellerError):
    sqlstate = "TL006"


class AssetMismatch(TellerError):
    sqlstate = "TL007"


class AccountBusy(TellerError):
    sqlstate = "TL008"


class NotFound(TellerError):
    sqlstate = "TL009"


class InstanceNotAdopted(TellerError):
    sqlstate = "TL010"


class QueueFull(TellerError):
    sqlstate = "TL011"


class RequestTooOld(TellerError):
    sqlstate = "TL012"


BY_SQLSTATE = {kind.sqlstate: kind for kind in TellerError.__subclasses__()}


class Unavailable(Exception):
    """Every attempt failed, and none can have happened."""


class OutcomeUnknown(Exception):
    """A COMMIT was sent and its answer was lost, and so were the repeats.
    Ask again later with the same key; never with a new one."""


class RolledBack(Exception):
    """The work caught an error of the database and went on.  The transaction
    could not be committed; nothing has happened."""


class Transaction:
    """What `work` gets.  Each movement needs a key."""

    def __init__(self, conn):
        self._conn = conn

    def execute(self, query, params=None):
        """A statement of your own; returns psycopg's cursor."""
        return self._conn.execute(query, params)

    def transfer(self, ledger, debit_account, credit_account, amount, *, key,
                 expected_version=None, metadata=None, on_denial=None):
        return self._call(
            "transfer", ledger=ledger, debit_account=debit_account,
            credit_account=credit_account, amount=_amount(amount), key=key,
            expected_version=expected_version, metadata=_json(metadata),
            on_denial=on_denial)[0]

    def post(self, ledger, items, *, key):
        """items: (debit_account, credit_account, amount), all or nothing.
        Returns a row for each."""
        debits, credits, amounts = zip(*items)
        return self._call(
            "post", ledger=ledger, debit_accounts=list(debits),
            credit_accounts=list(credits),
            amounts=[_amount(amount) for amount in amounts], key=key)

    def hold(self, ledger, debit_account, credit_account, amount, *, key,
             ttl=None, expected_version=None, metadata=None, on_denial=None):
        """ttl: a timedelta, or text that PostgreSQL reads as an interval."""
        return self._call(
            "hold", ledger=ledger, debit_account=debit_account,
            credit_account=credit_account, amount=_amount(amount), ttl=ttl,
            key=key, expected_version=expected_version,
            metadata=_json(metadata), on_denial=on_denial)[0]

    def capture(self, ledger, hold, amount=None, *, key, final=True):
        """amount: None for all that remains."""
        return self._call(
            "capture", ledger=ledger, hold=hold, amount=_amount(amount),
            final=final, key=key)[0]

    def release(self, ledger, hold, *, key):
        return self._call("release", ledger=ledger, hold=hold, key=key)[0]

    def _call(self, function, **arguments):
        """All arguments by name; those that are None have their default."""
        if not arguments["key"]:
            raise ValueError(f"{function} needs a key")
        given = {name: arguments[name] for name in arguments
                 if arguments[name] is not None}
        names = ", ".join(f"{name} => %({name})s" for name in given)
        cursor = self._conn.cursor(row_factory=namedtuple_row)
        cursor.execute(f"SELECT * FROM teller.{function}({names})", given)
        return cursor.fetchall()


class Teller:
    """connect: called for each new connection, returns a psycopg.Connection.
    attempts: at most so many; base and cap: seconds between two of them.
    retry_lock_timeout: try again after 55P03 as well.
    on_retry: called with the number of the attempt and the error."""

    def __init__(self, connect, *, attempts=8, base=0.05, cap=2.0,
                 retry_lock_timeout=False, on_retry=None):
        self._connect = connect
        self._conn = None
        self.attempts = attempts
        self.base = base
        self.cap = cap
        self.try_again = TRY_AGAIN | ({LOCK_TIMEOUT} if retry_lock_timeout else set())
        self.on_retry = on_retry or (lambda attempt, error: None)

    def transfer(self, *args, **kwargs):
        return self.transaction(lambda tx: tx.transfer(*args, **kwargs))

    def post(self, *args, **kwargs):
        return self.transaction(lambda tx: tx.post(*args, **kwargs))

    def hold(self, *args, **kwargs):
        return self.transaction(lambda tx: tx.hold(*args, **kwargs))

    def capture(self, *args, **kwargs):
        return self.transaction(lambda tx: tx.capture(*args, **kwargs))

    def release(self, *args, **kwargs):
        return self.transaction(lambda tx: tx.release(*args, **kwargs))

    def close(self):
        if self._conn is not None:
            self._conn.close()
            self._conn = None

    def transaction(self, work):
        """Run work(tx) and commit; return what it returned."""
        in_doubt = False  # a COMMIT was sent and not answered
        for attempt in range(1, self.attempts + 1):
            if attempt > 1:
                self._pause(attempt - 1)
            committing = False
            try:
                conn = self._connection()
                conn.execute("BEGIN")
                answer = work(Transaction(conn))
                committing = True
                tag = conn.execute("COMMIT").statusmessage
            except psycopg.Error as error:
                lost = self._is_lost(error)
                in_doubt = in_doubt or (committing and lost)
                self._clean_up()
                if not lost and error.sqlstate not in self.try_again:
                    self._refuse(error, in_doubt)
                if attempt < self.attempts:
                    self.on_retry(attempt, error)
                last = error
            except Exception as error:
                self._clean_up()
                if in_doubt:
                    raise OutcomeUnknown(str(error)) from error
                raise
            except BaseException:
                self.close()
                raise
            else:
                # COMMIT of a transaction that has failed is a ROLLBACK.
                if tag == "COMMIT":
                    return answer
                if in_doubt:
                    raise OutcomeUnknown("the repeat was rolled back")
                raise RolledBack("an error was caught inside the transaction")
        message = f"{self.attempts} attempts: {last}"
        raise (OutcomeUnknown if in_doubt else Unavailable)(message) from last

    def _connection(self):
        if self._conn is None:
            conn = self._connect()
            conn.autocommit = True  # BEGIN and COMMIT are ours
            self._conn = conn
        return self._conn

    def _is_lost(self, error):
        if self._conn is None:  # it could not be opened
            return True
        state = error.sqlstate or ""
        return (self._conn.closed or state.startswith("08")
                or state in SESSION_OVER)

    def _clean_up(self):
        """Back to an idle connection, or to none."""
        try:
            if self._conn is not None and not self._conn.closed:
                self._conn.execute("ROLLBACK")
                return
        except psycopg.Error:
            pass
        self.close()

    @staticmethod
    def _refuse(error, in_doubt):
        """An answer of pg_teller ends a doubt: had the first attempt happened,
        its key would have been replayed.  Another error does not."""
        kind = BY_SQLSTATE.get(error.sqlstate)
        if kind:
            raise kind(error.diag.message_primary, error.diag.message_detail,
                       error.diag.message_hint) from error
        if in_doubt:
            raise OutcomeUnknown(str(error)) from error
        raise error

    def _pause(self, failed):
        """Full jitter: anything from zero to the limit, so that those who
        failed together do not come back together."""
        limit = min(self.cap, self.base * 2 ** (failed - 1))
        time.sleep(random.uniform(0, limit))


def _amount(amount):
    """A float cannot hold 0.1, so it is no amount."""
    if amount is None or isinstance(amount, (Decimal, int)):
        return amount
    if isinstance(amount, str):
        return Decimal(amount)
    raise TypeError("an amount is a Decimal, an int or a str")


def _json(metadata):
    return None if metadata is None else Jsonb(metadata)
