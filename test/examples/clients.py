"""The clients under examples/client, run against a server and a line that
breaks.  usage: clients.py LANGUAGE COMMAND...

COMMAND runs the program `till` in that language.  Connects as PG* in the
environment says, over a unix socket, as a superuser, to the database till
that examples/client/setup.sql was run in.  Prints a line for each claim.
"""

import collections
import decimal
import os
import subprocess
import sys
import tempfile
import threading
import uuid

import psycopg

import cut_line

PATIENCE_S = 60
DATABASE = "till"
ALICE = 2

KINDS = {
    "TL001": "InsufficientFunds", "TL002": "VersionConflict",
    "TL003": "IdempotencyMismatch", "TL004": "LimitExceeded",
    "TL005": "AccountNotActive", "TL006": "HoldNotOpen",
    "TL007": "AssetMismatch", "TL008": "AccountBusy", "TL009": "NotFound",
    "TL010": "InstanceNotAdopted", "TL011": "QueueFull",
    "TL012": "RequestTooOld",
}

# The application's own table raises what the test asks for: now or at
# COMMIT, always or the first time only.  A sequence is not rolled back.
RAISE = """
CREATE SEQUENCE asked;
GRANT USAGE ON SEQUENCE asked TO till_app;
CREATE FUNCTION raise_what_is_asked() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    said text[] := regexp_match(NEW.id, '^(always|once|late) (\\w{5})');
BEGIN
    IF said[1] = 'always' OR nextval('asked') = 1 THEN
        RAISE EXCEPTION USING ERRCODE = said[2], MESSAGE = 'as asked';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER now BEFORE INSERT ON purchase FOR EACH ROW
    WHEN (NEW.id ~ '^(always|once) ') EXECUTE FUNCTION raise_what_is_asked();
CREATE CONSTRAINT TRIGGER late AFTER INSERT ON purchase
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN (NEW.id ~ '^late ') EXECUTE FUNCTION raise_what_is_asked();
"""

Run = collections.namedtuple("Run", "status out errors")


class Wrong(Exception):
    """A claim that is not true."""


def same(what, is_, should_be):
    if is_ != should_be:
        raise Wrong(f"{what}: {is_!r}, and not {should_be!r}")


class Test:
    def __init__(self, language, command, directory):
        self.language = language
        self.command = command
        self.port = int(os.environ.get("PGPORT", 5432))
        self.admin = psycopg.connect(dbname=DATABASE, autocommit=True)
        self.killer = psycopg.connect(dbname=DATABASE, autocommit=True)
        self.directory = directory
        self.line = cut_line.CutLine(
            cut_line.socket_path(directory, self.port),
            cut_line.socket_path(os.environ["PGHOST"], self.port),
            self.terminate)
        self.numbers = 0

    # What the tests are made of

    def value(self, query, *params):
        return self.admin.execute(query, params).fetchone()[0]

    def terminate(self, pid):
        self.killer.execute("SELECT pg_terminate_backend(%s, 10000)", [pid])

    def key(self):
        self.numbers += 1
        return f"{self.language} {self.numbers}"

    def start(self, *arguments, through_line=False, options="", attempts=None):
        environment = dict(
            os.environ, PGDATABASE=DATABASE, PGUSER="till_app", PGOPTIONS=options)
        if through_line:
            environment["PGHOST"] = self.directory
        if attempts:
            environment["TILL_ATTEMPTS"] = str(attempts)
        return subprocess.Popen(
            [*self.command, *arguments], env=environment, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE)

    def run(self, *arguments, **how):
        return self.end(self.start(*arguments, **how))

    @staticmethod
    def end(program):
        out, errors = program.communicate(timeout=PATIENCE_S)
        return Run(program.returncode, out.strip(), errors.strip())

    def balance(self):
        return self.value("SELECT posted FROM teller.balance(1, %s)", ALICE)

    def purchases(self, key):
        return self.value("SELECT count(*) FROM purchase WHERE id = %s", key)

    def paid_once(self, key, before, run, replayed, amount="1.00"):
        """The program said so, alice is poorer by that much, and our own row is
        there."""
        same("status", run.status, 0)
        same("answer", run.out, f"posted {amount}, replayed {replayed}")
        same("paid", before - self.balance(), decimal.Decimal(amount))
        same("purchases", self.purchases(key), 1)

    def poll(self, what, condition):
        """Until the condition holds: what it returned."""
        tick = threading.Event()
        for _ in range(PATIENCE_S * 50):
            answer = condition()
            if answer:
                return answer
            tick.wait(0.02)
        raise Wrong(f"in vain: {what}")

    def waiting_backend(self, but=None):
        """The client's backend, when it waits for a lock."""
        return self.poll("the client waits for a lock", lambda: self.admin.execute(
            "SELECT pid FROM pg_stat_activity WHERE usename = 'till_app'"
            " AND wait_event_type = 'Lock' AND pid IS DISTINCT FROM %s::int",
            [but]).fetchone())[0]

    def holding_alice(self):
        """Another session that has alice's account locked."""
        other = psycopg.connect(dbname=DATABASE)
        other.execute("SELECT teller.lock_accounts(1, ARRAY[2]::bigint[])")
        return other

    def gave_up(self, run, status, kind):
        same("status", run.status, status)
        same("attempts", self.line.cuts, 3)
        same("error", run.errors.splitlines()[-1].split(":")[0], kind)

    # The claims

    def pays_and_notes(self):
        """a payment and the application's row are made once, and replayed"""
        key, before = self.key(), self.balance()
        self.paid_once(key, before, self.run("pay", key, "1.00"), "false")
        self.paid_once(key, before, self.run("pay", key, "1.00"), "true")

    def posts_a_batch(self):
        """post moves both legs under one key, and replays both"""
        key, before = self.key(), self.balance()
        first = self.run("split", key, "2.00", "0.50")
        again = self.run("split", key, "2.00", "0.50")
        same("answer", first.out,
             "posted 2.00, replayed false\nposted 0.50, replayed false")
        same("again", again.out, first.out.replace("false", "true"))
        same("paid", before - self.balance(), decimal.Decimal("2.50"))

    def holds_and_captures(self):
        """a hold is captured in part, another released, each once"""
        before = self.balance()
        keys = [self.key() for _ in range(4)]
        held = self.run("reserve", keys[0], "3.00")
        same("hold", held.out.split()[0], "open")
        hold = held.out.split()[1].rstrip(",")
        again = self.run("reserve", keys[0], "3.00")
        same("hold again", again.out, held.out.replace("false", "true"))
        captured = self.run("capture", keys[1], hold, "1.25")
        same("capture", captured.out, "posted 1.25, replayed false")
        captured = self.run("capture", keys[1], hold, "1.25")
        same("capture again", captured.out, "posted 1.25, replayed true")
        other = self.run("reserve", keys[2], "3.00").out.split()[1].rstrip(",")
        released = self.run("release", keys[3], other)
        same("release", released.out, "released, replayed false")
        same("paid", before - self.balance(), decimal.Decimal("1.25"))
        same("pending", self.value("SELECT pending_debit FROM teller.balance(1, 2)"), 0)

    def refused(self, kind, *arguments):
        run = self.run(*arguments)
        same("status", run.status, 1)
        same("first word", run.errors.split(":")[0], kind)

    def names_refusals(self):
        """TL001, TL002, TL003, TL006 and TL009 become errors of their own, and nothing moves"""
        before, key, unknown = self.balance(), self.key(), str(uuid.uuid4())
        self.refused("InsufficientFunds", "pay", self.key(), "100000.00")
        self.refused("VersionConflict", "pay", self.key(), "1.00", "0")
        hold = self.run("reserve", key, "1.00").out.split()[1].rstrip(",")
        self.refused("IdempotencyMismatch", "reserve", key, "1.01")
        self.run("release", self.key(), hold)
        self.refused("HoldNotOpen", "capture", self.key(), hold)
        self.refused("NotFound", "capture", self.key(), unknown)
        same("balance", self.balance(), before)

    def names_every_code(self):
        """each of TL001 to TL012 has its error, and the payment is rolled back"""
        before = self.balance()
        for sqlstate, kind in KINDS.items():
            self.refused(kind, "pay", f"always {sqlstate} {self.key()}", "1.00")
        same("balance", self.balance(), before)

    def passes_others_on(self):
        """another error of the server is not repeated and is none of the twelve"""
        run = self.run("pay", self.key(), "1.001")
        same("status", run.status, 1)
        if run.errors.split(":")[0] in KINDS.values() or "attempt" in run.errors:
            raise Wrong(f"it said: {run.errors}")

    def repeats(self, kind, sqlstate):
        self.admin.execute("ALTER SEQUENCE asked RESTART")
        key, before = f"{kind} {sqlstate} {self.key()}", self.balance()
        run = self.run("pay", key, "1.00")
        same("said", run.errors, f"attempt 1 failed: {sqlstate}")
        self.paid_once(key, before, run, "false")

    def repeats_deadlock(self):
        """40P01 is repeated"""
        self.repeats("once", "40P01")

    def repeats_refused_commit(self):
        """40001 at COMMIT is repeated, and leaves no doubt"""
        self.repeats("late", "40001")

    def repeats_serializable(self):
        """40001 from a conflict at SERIALIZABLE is repeated"""
        key = self.key()
        other = self.holding_alice()
        program = self.start(
            "pay", key, "1.00",
            options="-c default_transaction_isolation=serializable")
        self.waiting_backend()
        other.execute("SELECT * FROM teller.transfer(1, 2, 1, 0.25)")
        before = self.balance() - decimal.Decimal("0.25")
        other.commit()
        other.close()
        run = self.end(program)
        same("said", run.errors, "attempt 1 failed: 40001")
        self.paid_once(key, before, run, "false")

    def repeats_lock_timeout(self):
        """55P03 is repeated only if that was asked for"""
        key, before = self.key(), self.balance()
        other = self.holding_alice()
        timeout = "-c lock_timeout=50ms"
        run = self.run("pay", key, "1.00", options=timeout)
        same("status", run.status, 1)
        same("attempts", run.errors.count("attempt"), 0)
        same("says why", "lock timeout" in run.errors, True)
        program = self.start("--patient", "pay", key, "1.00", options=timeout,
                             attempts=1000)
        said = program.stderr.readline().strip()
        same("said", said, "attempt 1 failed: 55P03")
        other.rollback()
        other.close()
        self.paid_once(key, before, self.end(program), "false")

    def survives_shutdown(self):
        """a session that is terminated in mid-call (57P01) is replaced, and pays exactly once"""
        key, before = self.key(), self.balance()
        other = self.holding_alice()
        program = self.start("pay", key, "1.00")
        first = self.waiting_backend()
        self.terminate(first)
        self.waiting_backend(but=first)
        other.rollback()
        other.close()
        run = self.end(program)
        # What a driver makes of a session's last words differs.
        if run.errors not in ("attempt 1 failed: 57P01",
                              "attempt 1 failed: connection"):
            raise Wrong(f"it said: {run.errors}")
        self.paid_once(key, before, run, "false")

    def cut(self, fate, *, times, replayed):
        key, before = self.key(), self.balance()
        self.line.follow(*[fate] * times)
        run = self.run("pay", key, "1.00", through_line=True)
        same("cuts", self.line.cuts, times)
        same("attempts that failed", run.errors.count("failed: "), times)
        self.paid_once(key, before, run, replayed)

    def survives_lost_answer(self):
        """backend terminated after COMMIT and before its answer: pays exactly once"""
        self.cut("after commit", times=1, replayed="true")

    def survives_lost_answers(self):
        """the same three times in a row: pays exactly once"""
        self.cut("after commit", times=3, replayed="true")

    def survives_lost_commit(self):
        """connection lost before COMMIT arrives: pays exactly once"""
        self.cut("before commit", times=2, replayed="false")

    def survives_no_server(self):
        """a server that cannot be reached twice is tried again"""
        self.cut("refuse", times=2, replayed="false")

    def says_unknown(self):
        """every answer lost: it gives up saying that nobody knows, and the same key tells"""
        key, before = self.key(), self.balance()
        self.line.follow(otherwise="after commit")
        run = self.run("pay", key, "1.00", through_line=True, attempts=3)
        self.gave_up(run, 3, "OutcomeUnknown")
        self.paid_once(key, before, self.run("pay", key, "1.00"), "true")

    def doubt_stays(self):
        """a doubt that a later error does not end stays a doubt"""
        key, before = self.key(), self.balance()
        self.line.follow("after commit", otherwise="refuse")
        run = self.run("pay", key, "1.00", through_line=True, attempts=3)
        self.gave_up(run, 3, "OutcomeUnknown")
        self.paid_once(key, before, self.run("pay", key, "1.00"), "true")

    def says_unknown_before(self):
        """every COMMIT lost on its way: nobody knows either, and nothing has happened"""
        key, before = self.key(), self.balance()
        self.line.follow(otherwise="before commit")
        run = self.run("pay", key, "1.00", through_line=True, attempts=3)
        self.gave_up(run, 3, "OutcomeUnknown")
        same("balance", self.balance(), before)
        same("purchases", self.purchases(key), 0)

    def says_unavailable(self):
        """no COMMIT sent: it gives up saying that nothing has happened"""
        self.line.follow(otherwise="refuse")
        run = self.run("pay", self.key(), "1.00", through_line=True, attempts=3)
        self.gave_up(run, 1, "Unavailable")

    def books_are_sound(self):
        """in the end the books are sound, and every purchase has its movement"""
        same("findings", self.admin.execute(
            "SELECT * FROM teller.verify()").fetchall(), [])
        same("purchases without movement", self.value(
            "SELECT count(*) FROM purchase p LEFT JOIN teller.movement m"
            " ON m.ledger_id = 1 AND m.id = p.movement"
            " WHERE m.amount IS DISTINCT FROM p.amount"), 0)

    CLAIMS = [
        pays_and_notes, posts_a_batch, holds_and_captures, names_refusals,
        names_every_code, passes_others_on, repeats_deadlock,
        repeats_refused_commit, repeats_serializable, repeats_lock_timeout,
        survives_shutdown, survives_lost_answer, survives_lost_answers,
        survives_lost_commit, survives_no_server, says_unknown, doubt_stays,
        says_unknown_before, says_unavailable, books_are_sound,
    ]


def main(language, command):
    failed = False
    with tempfile.TemporaryDirectory(prefix="tlc.", dir="/tmp") as directory:
        test = Test(language, command, directory)
        test.admin.execute(RAISE)
        for claim in Test.CLAIMS:
            try:
                claim(test)
                print(f"ok - {language}: {claim.__doc__}", flush=True)
            except (Wrong, psycopg.Error, IndexError,
                    subprocess.TimeoutExpired) as error:
                failed = True
                print(f"not ok - {language}: {claim.__doc__}\n# {error}", flush=True)
    return failed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
