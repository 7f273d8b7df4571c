"""The clients: transactions of all sorts over the rows, and who is beside them."""

import json
import re

import psycopg
from psycopg.pq import TransactionStatus

import action
import asking
from action import Caught, Step
from client import LEVELS, NEVER, Client, Companion, Lost, Transaction, Undone
from table import TABLES, State, seen

STRENGTHS = ("update", "no key update", "share", "key share")
PATIENCE = "20 ms"


class Work(Transaction):
    """A transaction, its effects in their order, and what it holds."""

    def __init__(self, name, shape, level, phase):
        super().__init__(shape, level, phase)
        self.name = name
        self.effects = []
        self.held = {}  # (table, row) -> seq, while nobody else can change it
        self.mine = set()  # keys of requests that it began
        self.open = set()  # those that must be finished before it commits
        self.claim = None  # what it leaves under a lease
        self.hasty = False

    def has_changed(self, table, row):
        return any((one.get("table"), one.get("row")) == (table.short, row)
                   and one["do"] != "see" for one in self.effects)

    @property
    def replaces(self):
        """It deleted rows or inserted some."""
        return any(one["do"] in ("delete", "insert") for one in self.effects)

    def mark(self):
        return (len(self.effects), dict(self.held), set(self.mine),
                set(self.open), self.claim)

    def back_to(self, mark):
        count, self.held, self.mine, self.open, self.claim = mark
        del self.effects[count:]


class Refusal:
    """A call was refused; after: the row when it had been."""

    def __init__(self, work, step, error):
        self.work = work.name
        self.level = work.level
        self.step = step
        self.code = error.sqlstate
        self.said = text_of(error)
        self.after = None


def text_of(error):
    """What an error says: the detail, or what it says without one."""
    if not isinstance(error, Caught):
        return error.diag.message_detail or error.diag.message_primary
    return error.detail or error.message


class Actor(Client):
    """A client of the rows; what it saw and the log cannot tell is in lists."""

    def __init__(self, number, options, desk):
        super().__init__(number, options, None, None)
        self.number = number
        self.desk = desk
        self.others = []
        self.asks = []  # (work, what was asked, with the answer)
        self.refusals = []
        self.unsettled = []  # refusals that wait for their row to be read
        self.broken = []  # rows that changed while they were held
        self.locks = []  # answers of lock_rows that are wrong in themselves
        self.leaks = []  # commits that left a request unfinished, or the reverse
        self.last = {}  # (table, row) -> State as it was read some time ago
        self.step = None  # the action that runs now
        self.again = None  # the request that it will ask for again
        self.marks = 0
        self.watched = 0  # steps that were seen waiting for this client

    # ---- statements -------------------------------------------------------

    def call(self, work, sql, parameters, may_undo=True):
        """One SELECT of a column `answer`, in an exception block at times."""
        if work.shape == "locked" or not self.mix.maybe(0.2):
            return [row["answer"] for row in self.execute(sql, parameters)]
        text = psycopg.ClientCursor(self.connection).mogrify(sql, parameters)
        answer = self.execute(
            "SELECT teller_rows.guard(%s, %s) AS answer",
            (text, may_undo and self.mix.maybe(0.3))).fetchone()["answer"]
        if "sqlstate" in answer:
            raise Caught(answer)
        return answer["rows"]

    def see(self, table, rows):
        return {row["id"]: seen(row)
                for row in self.execute(table.seen_sql(), (list(rows),))}

    def new_mark(self):
        self.marks += 1
        return "%d.%d" % (self.number, self.marks)

    def read_version(self, step):
        """The row as just read, or, half of the time, as read long ago."""
        place = (step.table.short, step.row)
        before = step.before.state
        if before is None:
            before = State(0, 0, None)
        old = self.last.get(place, before)
        if not step.own:  # that may never be committed
            self.last[place] = before
        return old if self.mix.maybe(0.3) else before

    # ---- one action -------------------------------------------------------

    def observe(self, work, table, rows):
        """Read rows; whatever the transaction holds must be as it was."""
        found = self.see(table, rows)
        for row, now in found.items():
            held = work.held.get((table.short, row))
            if held is not None and held != now.seq:
                self.broken.append((work.name, table.short, row, held, now.seq))
        return found

    def perform_step(self, work, do, table, row):
        before = self.observe(work, table, [row])[row]
        step = Step(table, row, before, work.has_changed(table, row))
        self.step = step
        try:
            made = do(self, work, step)
        except Caught as caught:
            self.step = None
            self.refused(work, step, caught)
            self.settle()
            return
        except psycopg.Error as error:
            self.refused(work, step, error)
            raise Undone from error
        finally:
            self.step = None
        for one in made if isinstance(made, list) else [made] if made else []:
            self.add(work, step, one)

    def refused(self, work, step, error):
        work.errors.append(error.sqlstate)
        if error.sqlstate == "55000":  # a row's only if a trigger is against it
            work.errors.append("55000 of a row")
        if error.sqlstate.startswith("TL"):
            self.unsettled.append(Refusal(work, step, error))

    def add(self, work, step, effect):
        """Read what became of the row, and note it with the effect."""
        table, row = step.table, step.row
        now = effect.pop("seen", None)
        if now is None and table.guarded:
            now = self.see(table, [row])[row]
        elif now is None:
            now = seen(self.execute(
                "UPDATE %s SET seq = seq + 1 WHERE id = %%s"
                " RETURNING seq, balance, version, mark" % table.name,
                (row,)).fetchone())
        effect.update(seq=now.seq, after=now.state)
        work.effects.append(effect)
        work.held[table.short, row] = now.seq

    def settle(self):
        """Read the rows of refused calls; what that fails on is forgotten."""
        waiting, self.unsettled = self.unsettled, []
        for refusal in waiting:
            step = refusal.step
            refusal.after = self.see(step.table, [step.row])[step.row]
            self.refusals.append(refusal)

    def one_row(self, work, among=None):
        """An action on a row of the table, or of those given."""
        chance = self.mix.chance
        if among is not None:
            table, rows = among
            actions = action.HELD
            row = chance.choice(rows)
        else:
            table = TABLES[chance.choice(("purse", "purse", "stock"))]
            actions = action.ANY
            row = table.ids[int(len(table.ids) * chance.random() ** 2)]
            if self.mix.maybe(0.02):
                row = table.missing
            if self.mix.maybe(0.12):
                row = chance.choice(table.churn)
                if work.shape in ("one", "loose") and self.mix.maybe(0.5):
                    actions = ((action.churn, 1),)
        do = chance.choices([one for one, _ in actions],
                            [often for _, often in actions])[0]
        self.perform_step(work, do, table, row)

    # ---- lock_rows --------------------------------------------------------

    def lock(self, work, strengths):
        """Lock some rows; the table and the ids that were locked."""
        chance = self.mix.chance
        table = TABLES[chance.choice(("purse", "stock"))]
        asked = chance.choices(table.ids, k=chance.randint(1, 6))
        if self.mix.maybe(0.1):
            asked.append(table.missing)
        chance.shuffle(asked)
        wait = chance.choices(("block", "nowait", "skip", PATIENCE),
                              (60, 8, 17, 15))[0]
        missing = "skip" if self.mix.maybe(0.3) else "error"
        strength = chance.choice(strengths)
        before = self.observe(work, table, asked)
        locked = self.lock_call(work, table, before, asked,
                                (wait, strength, missing))
        if locked is None:
            return table, []
        now = self.observe(work, table, asked)
        self.judge_lock(work, table, asked, locked, now)
        for row in locked:
            work.effects.append({"do": "see", "table": table.short, "row": row,
                                 "seq": now[row].seq, "after": now[row].state})
            if strength != "key share":
                work.held[table.short, row] = now[row].seq
        if wait != "skip":
            self.left_out(work, table, before, now, locked)
        return table, locked

    def lock_call(self, work, table, before, asked, how):
        """The rows locked; None if it failed in an exception block."""
        given = asked
        if self.mix.maybe(0.3):
            given = "{%s}" % ",".join(str(row) for row in asked)
        try:
            answer = self.call(
                work, "SELECT l AS answer FROM teller.lock_rows"
                "(%s, %s, %s, %s, %s) AS l", (table.name, given, *how))
        except (Caught, psycopg.Error) as error:
            work.errors.append(error.sqlstate)
            if error.sqlstate == "55P03" and not work.hasty \
                    and how[0] in ("block", "skip"):
                self.locks.append((work.name, "55P03", how))
            if error.sqlstate == "TL009":
                self.not_there(work, table, before, error)
            if isinstance(error, Caught):
                self.settle()
                return None
            raise Undone from error
        return [type(table.missing)(row) for row in answer]

    def not_there(self, work, table, before, error):
        """Each row that the error lists is judged as if it were alone."""
        listed = [row for row in before
                  if re.search(r"\b%s\b" % row, text_of(error))]
        if not listed:
            self.locks.append((work.name, "names none of", list(before),
                               text_of(error)))
        for row in listed:
            step = Step(table, row, before[row], work.has_changed(table, row))
            self.unsettled.append(Refusal(work, step, error))

    def left_out(self, work, table, before, now, locked):
        """Who waited for every row left out only those that are not there."""
        none = Caught({"sqlstate": "TL009", "detail": "", "message": ""})
        for row in before:
            if row not in locked:
                step = Step(table, row, before[row],
                            work.has_changed(table, row))
                refusal = Refusal(work, step, none)
                refusal.after = now[row]
                self.refusals.append(refusal)

    def judge_lock(self, work, table, asked, locked, now):
        """What is wrong with an answer, whatever the others do."""
        if not set(locked) <= set(asked) & set(table.ids):
            self.locks.append((work.name, "not asked for", asked, locked))
            return
        places = [table.order[row] for row in locked]
        if places != sorted(set(places)):
            self.locks.append((work.name, "not in order", asked, locked))
        gone = [row for row in locked if now[row].state is None]
        if gone:
            self.locks.append((work.name, "locked and not there", gone))

    # ---- transactions -----------------------------------------------------

    def saved(self, work, do, *arguments):
        """Behind a savepoint half of the time, and perhaps back to it."""
        if not self.mix.maybe(0.5):
            do(*arguments)
            return
        mark = work.mark()
        self.execute("SAVEPOINT s")
        try:
            do(*arguments)
            if self.mix.maybe(0.65):
                return
        except Caught as caught:
            work.errors.append(caught.sqlstate)
        except Undone:
            pass
        except Lost:
            raise
        except psycopg.Error as error:
            work.errors.append(error.sqlstate)
        self.execute("ROLLBACK TO SAVEPOINT s")
        work.back_to(mark)
        self.settle()

    def one(self, work):
        """A single call, or a single statement by hand."""
        if self.mix.maybe(0.15):
            self.saved(work, self.lock, work, STRENGTHS)
        else:
            self.saved(work, self.one_row, work)

    def locked(self, work):
        """Everything that it will touch is locked first, by one call."""
        table, rows = self.lock(work, STRENGTHS[:2])
        for _ in range(self.mix.chance.randint(1, 3) if rows else 0):
            if self.budget.take():
                self.saved(work, self.one_row, work, (table, rows))

    def asked(self, work):
        claim = self.desk.take(self.mix.chance) if self.mix.maybe(0.35) else None
        if claim is None:
            self.saved(work, asking.ask_at_once, self, work)
        else:
            asking.answer_later(self, work, claim)

    def loose(self, work):
        """Whatever comes to its mind, in any order."""
        for _ in range(self.mix.chance.randint(2, 5)):
            if not self.budget.take():
                break
            do = self.mix.chance.choices(("row", "lock", "ask"), (70, 22, 8))[0]
            if do == "row":
                self.saved(work, self.one_row, work)
            elif do == "lock":
                self.saved(work, self.lock, work, STRENGTHS)
            else:
                self.saved(work, asking.ask_at_once, self, work)

    def end(self, work):
        """Write the log and commit, or roll back as if nothing had been."""
        if self.mix.maybe(0.15):
            self.rollback()
            return
        self.execute("INSERT INTO teller_rows.log VALUES (%s, %s)", (
            work.name, json.dumps(work.effects, default=str)))
        waiting = []
        if self.mix.maybe(0.8 if work.replaces else 0.4):
            waiting = self.who_waits(work)
        self.commit(work)
        if work.fate == "committed":
            for step, seq in waiting:
                step.since = max(step.since, seq)
            if work.claim is not None:
                self.desk.leave(work.claim)
            if work.open:
                self.leaks.append((work.name, "committed", sorted(work.open)))
        elif work.errors[-1] == "55000" and not work.open:
            self.leaks.append((work.name, "refused to commit"))

    def who_waits(self, work):
        """
        The steps of others that wait for a row that this transaction changed:
        they must decide on the row as it is after the commit, not before.
        """
        changed = {(one["table"], one["row"]): one["seq"] for one in work.effects
                   if "row" in one and one["do"] != "see"}
        for _ in range(4):
            steps = {other.pid: other.step for other in self.others
                     if other.step is not None and other.pid is not None
                     and (other.step.table.short, other.step.row) in changed}
            if steps:
                break
            NEVER.wait(0.002)
        if not steps:
            return []
        blocked = {row["pid"] for row in self.execute(
            "SELECT pid FROM unnest(%s::integer[]) AS o(pid)"
            " WHERE pg_backend_pid() = ANY (pg_blocking_pids(pid))",
            (list(steps),))}
        waiting = [other.step for other in self.others if other.pid in blocked
                   and other.step is steps[other.pid]]
        self.watched += len(waiting)
        return [(step, changed[step.table.short, step.row]) for step in waiting]

    def choose(self):
        level = "READ COMMITTED"
        if self.mix.maybe(0.2):
            level = self.mix.chance.choice(LEVELS)
        weights = (50, 20, 30, 0) if self.phase == "orderly" else (35, 12, 18, 35)
        shape = "asked"
        if self.again is None or self.mix.maybe(0.3):
            shape = self.mix.chance.choices(
                ("one", "locked", "asked", "loose"), weights)[0]
        return Work("%d-%d" % (self.number, len(self.log) + 1), shape, level,
                    self.phase)

    def act(self):
        work = self.choose()
        self.log.append(work)
        self.unsettled = []
        work.hasty = self.mix.maybe(0.1)
        if work.hasty:
            self.execute("SET lock_timeout = '%d ms'" % self.mix.chance.randint(1, 4))
        try:
            self.begin(work.level)
            getattr(self, work.shape)(work)
            self.end(work)
        except Lost:
            raise
        except (Caught, Undone, psycopg.Error) as error:
            if not isinstance(error, Undone):
                work.errors.append(error.sqlstate)
            if self.connection.info.transaction_status != TransactionStatus.IDLE:
                self.rollback()
        self.settle()
        if work.hasty:
            self.execute("RESET lock_timeout")

    def recover(self):
        self.step = None
        self.connect()


class Keeper(Companion):
    """
    Locks the row of a request whose lease ran out, until some clients wait to
    overtake it at once.
    """

    def __init__(self, desk):
        super().__init__()
        self.desk = desk
        self.kept = 0

    def pause(self):
        return 0.02

    def act(self, connection):
        with connection.transaction():
            found = connection.execute(
                "SELECT key FROM teller.request WHERE scope = %s"
                " AND finished_at IS NULL AND lease_until < now()"
                " ORDER BY created_at DESC LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED",
                (self.desk.scope,)).fetchone()
            if found is None:
                return
            self.desk.kept = found[0]
            for _ in range(20):
                if self.stop.wait(0.002) or self.waiting(connection) > 2:
                    break
            self.desk.kept = None
        self.kept += 1

    def waiting(self, connection):
        """How many wait: the first one for this transaction, the others for him."""
        return connection.execute(
            "SELECT count(*) FROM pg_locks WHERE NOT granted"
            " AND (relation = 'teller.request'::regclass"
            " OR transactionid = pg_current_xact_id()::xid)").fetchone()[0]


class Watcher(Companion):
    """Looks again and again for a balance that nobody should ever see."""

    def __init__(self):
        super().__init__()
        self.rounds = 0
        self.found = []

    def pause(self):
        return 0.05

    def act(self, connection):
        for table in TABLES.values():
            for row, balance in connection.execute(
                    "SELECT id, balance FROM %s" % table.name):
                if outside(table, row, balance):
                    self.found.append((table.short, row, balance))
        self.rounds += 1


def outside(table, row, balance):
    ceiling = table.ceiling(row)
    return balance < table.floor(row) or (
        ceiling is not None and balance > ceiling)
