"""
What a client does to one row: calls of layer 1, and SQL as people write it.

Each action is a function of the client, its transaction and a Step.  It
returns the effect for the log, or None if it changed nothing.  An effect that
was made by hand carries what RETURNING said; the client looks after the others.
"""

from psycopg.types.json import Jsonb

from table import seen


class Step:
    """One action on one row, and what is needed to judge a refusal."""

    def __init__(self, table, row, before, own):
        self.table = table
        self.row = row
        self.before = before  # Seen, as the transaction saw it at the start
        self.own = own  # the transaction has changed the row before
        self.since = before.seq  # it was still waiting when this was committed
        self.args = {}


class Caught(Exception):
    """A call failed in an exception block, and the transaction goes on."""

    def __init__(self, answer):
        super().__init__(answer["sqlstate"])
        self.sqlstate = answer["sqlstate"]
        self.detail = answer["detail"]
        self.message = answer["message"]


def amount(client, table):
    """Up to 60, in units of the column."""
    return client.mix.chance.randint(1, int(60 / table.unit)) * table.unit


def changed(client, step, balance):
    """Another balance, computed from one that was read, within the limits."""
    by = amount(client, step.table)
    if balance - by >= step.table.floor(step.row) and client.mix.maybe(0.6):
        return balance - by
    ceiling = step.table.ceiling(step.row)
    if ceiling is not None and balance + by > ceiling:
        return balance
    return balance + by


def effect(do, step, answer=None, by_hand=None):
    made = {"do": do, "table": step.table.short, "row": step.row,
            "args": dict(step.args), "answer": answer}
    if by_hand is not None:
        made["seen"] = seen(by_hand)
    return made


def name_of(client, step):
    """The id as its own type, or as text now and then."""
    return str(step.row) if client.mix.maybe(0.2) else step.row


# ---- the calls --------------------------------------------------------------


def debit(client, work, step):
    step.args = {"amount": amount(client, step.table),
                 "floor": floor_of(client, step)}
    if step.args["floor"] == 0 and client.mix.maybe(0.5):
        rows = client.call(work, "SELECT teller.row_debit(%s, %s, %s) AS answer", (
            step.table.name, name_of(client, step), step.args["amount"]))
    else:
        rows = client.call(
            work, "SELECT teller.row_debit(%s, %s, %s, floor => %s) AS answer", (
                step.table.name, name_of(client, step), step.args["amount"],
                step.args["floor"]))
    return effect("debit", step, rows[0])


def floor_of(client, step):
    """The row's own, or a higher one that only this caller minds."""
    floor = step.table.floor(step.row)
    return floor + 20 if client.mix.maybe(0.1) else floor


def credit(client, work, step):
    ceiling = step.table.ceiling(step.row)
    step.args = {"amount": amount(client, step.table), "ceiling": ceiling}
    rows = client.call(
        work, "SELECT teller.row_credit(%s, %s, %s, ceiling => %s) AS answer", (
            step.table.name, name_of(client, step), step.args["amount"], ceiling))
    return effect("credit", step, rows[0])


def update(client, work, step):
    """Reads now or has read before, and changes what it read."""
    read = client.read_version(step)
    step.args = {"expected": read.version, "mark": client.new_mark()}
    if client.mix.maybe(0.1):
        step.args["mark"] = None
    changes = {"mark": step.args["mark"]}
    if step.table.guarded:
        step.args["read"] = read.balance
        step.args["balance"] = changed(client, step, read.balance)
        changes["balance"] = str(step.args["balance"])
    rows = client.call(work, "SELECT teller.row_update(%s, %s, %s, %s) AS answer", (
        step.table.name, name_of(client, step), read.version, Jsonb(changes)))
    return effect("update", step, rows[0])


# ---- by hand ----------------------------------------------------------------


def hand_update(client, step, sets, where, values):
    """One UPDATE of the row; what RETURNING said, or None."""
    sql = ("UPDATE %s SET %s%s WHERE id = %%(row)s%s"
           " RETURNING seq, balance, version, mark" % (
               step.table.name, sets, step.table.bump, where))
    return client.execute(sql, dict(values, row=step.row)).fetchone()


def hand_debit(client, _work, step):
    """UPDATE ... WHERE there is enough."""
    step.args = {"amount": amount(client, step.table),
                 "floor": floor_of(client, step)}
    found = hand_update(client, step, "balance = balance - %(amount)s",
                        " AND balance - %(amount)s >= %(floor)s", step.args)
    return found and effect("debit", step, found["balance"], found)


def hand_locked(client, work, step):
    """SELECT FOR UPDATE, then UPDATE with what was computed from it."""
    strength = ("FOR NO KEY UPDATE" if work.shape == "locked"
                or client.mix.maybe(0.5) else "FOR UPDATE")
    found = client.execute("SELECT balance FROM %s WHERE id = %%s %s" % (
        step.table.name, strength), (step.row,)).fetchone()
    if found is None:
        return None
    step.args = {"read": found["balance"],
                 "balance": changed(client, step, found["balance"])}
    found = hand_update(client, step, "balance = %(balance)s", "", step.args)
    return found and effect("write", step, None, found)


def orm(client, _work, step):
    """Writes back what it read, with the version, as an ORM does."""
    read = client.read_version(step)
    step.args = {"expected": read.version, "mark": client.new_mark()}
    if not step.table.guarded:
        found = hand_update(
            client, step, "mark = %(mark)s, version = version + 1",
            " AND version = %(expected)s", step.args)
        return found and effect("update", step, found["version"], found)
    step.args.update(read=read.balance,
                     balance=changed(client, step, read.balance))
    if client.mix.maybe(0.5):
        found = hand_update(
            client, step, "balance = %(balance)s, mark = %(mark)s,"
            " version = %(expected)s", "", step.args)
    else:
        found = hand_update(
            client, step, "balance = %(balance)s, mark = %(mark)s,"
            " version = %(expected)s + 1", " AND version = %(expected)s", step.args)
    return found and effect("update", step, found["version"], found)


def touch(client, _work, step):
    """A writer that knows nothing of versions."""
    step.args = {"mark": client.new_mark()}
    found = hand_update(client, step, "mark = %(mark)s", "", step.args)
    return found and effect("touch", step, None, found)


# ---- rows that come and go --------------------------------------------------


def churn(client, _work, step):
    """Delete the row; insert it if it was not there, or half of the time."""
    table = step.table
    life = client.execute("SELECT seq FROM %s WHERE id = %%s FOR UPDATE" % table.life,
                          (step.row,)).fetchone()["seq"]
    gone = client.execute("DELETE FROM %s WHERE id = %%s RETURNING seq" % table.name,
                          (step.row,)).fetchone()
    made = []
    if gone is not None:
        life = gone["seq"] + 1
        made.append(effect("delete", step, None,
                           {"present": False, "seq": life}))
    if gone is None or client.mix.maybe(0.5):
        life += 1
        # A version that no one has read in an earlier life of the row.
        made.append(effect("insert", step, None, client.execute(
            "INSERT INTO %s VALUES (%%s, %%s, %%s, NULL, %%s)"
            " RETURNING seq, balance, version, mark" % table.name,
            (step.row, table.opening, life, life)).fetchone()))
    client.execute("UPDATE %s SET seq = %%s WHERE id = %%s" % table.life,
                   (life, step.row))
    return made


# How often, of a hundred; those of the second list are for rows that the
# transaction has locked.
ANY = ((debit, 26), (credit, 18), (update, 13), (hand_debit, 8),
       (hand_locked, 9), (orm, 12), (touch, 4))
HELD = ((debit, 30), (credit, 25), (update, 12), (hand_debit, 8),
        (hand_locked, 9), (orm, 12), (touch, 4))
