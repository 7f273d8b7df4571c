"""The tables of the run, as somebody may have them, and what is known of them."""

import collections
import decimal

# A row that somebody saw or made; a row that is not there is None.
State = collections.namedtuple("State", "balance version mark")
# The same with its place in the row's history.
Seen = collections.namedtuple("Seen", "seq state")

SCHEMA = """
DROP SCHEMA IF EXISTS teller_rows CASCADE;
CREATE SCHEMA teller_rows;

-- What committed: the effects of each transaction, in their order.
CREATE TABLE teller_rows.log (
    tx      text PRIMARY KEY,
    effects jsonb NOT NULL
);

-- Guarded: every writer counts, whether he knows of it or not.
CREATE TABLE teller_rows.purse (
    id      bigint PRIMARY KEY,
    balance numeric(20,2) NOT NULL,
    version bigint NOT NULL,
    mark    text,
    seq     bigint NOT NULL
);
CREATE TRIGGER guard BEFORE UPDATE ON teller_rows.purse
    FOR EACH ROW EXECUTE FUNCTION teller.guard_version('version');
-- The place in the row's history, taken while the row is locked.
CREATE FUNCTION teller_rows.next_seq() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.seq := OLD.seq + 1;
    RETURN NEW;
END $$;
CREATE TRIGGER seq BEFORE UPDATE ON teller_rows.purse
    FOR EACH ROW EXECUTE FUNCTION teller_rows.next_seq();

-- Without a trigger, in partitions, and in an order that is not the bytes'.
CREATE TABLE teller_rows.stock (
    id      text COLLATE "und-x-icu" PRIMARY KEY,
    balance integer NOT NULL,
    version integer NOT NULL,
    mark    text,
    seq     bigint NOT NULL
) PARTITION BY HASH (id);
CREATE TABLE teller_rows.stock_0 PARTITION OF teller_rows.stock
    FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE teller_rows.stock_1 PARTITION OF teller_rows.stock
    FOR VALUES WITH (MODULUS 2, REMAINDER 1);

-- Where the history of a row goes on that is not there.  Whoever inserts or
-- deletes a row locks its line here first.
CREATE TABLE teller_rows.purse_life (id bigint PRIMARY KEY, seq bigint NOT NULL);
CREATE TABLE teller_rows.stock_life (
    id  text COLLATE "und-x-icu" PRIMARY KEY,
    seq bigint NOT NULL
);

-- One SELECT in an exception block, which may undo it.
CREATE FUNCTION teller_rows.guard(call text, undo boolean) RETURNS jsonb
LANGUAGE plpgsql AS $$
DECLARE
    answer jsonb;
    said   text;
BEGIN
    EXECUTE 'SELECT jsonb_build_object(''rows'', coalesce(jsonb_agg(c.answer),'
        ' ''[]'')) FROM (' || call || ') AS c' INTO answer;
    IF undo THEN
        RAISE SQLSTATE 'MD001';
    END IF;
    RETURN answer;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS said = PG_EXCEPTION_DETAIL;
    RETURN jsonb_build_object('sqlstate', SQLSTATE, 'message', SQLERRM,
                              'detail', said);
END $$;
"""


class Table:
    """rows come and go if they are in churn; missing is never there."""

    def __init__(self, name, ids, missing, guarded, unit, opening):
        self.short = name
        self.name = "teller_rows." + name
        self.life = self.name + "_life"
        self.ids = ids
        self.missing = missing
        self.churn = ids[-2:]
        self.guarded = guarded  # has the triggers, so every write counts
        self.unit = unit
        self.opening = opening
        self.order = {}  # id -> place in the key's order

    def floor(self, row):
        """What no writer goes below: zero, for a few rows less."""
        return decimal.Decimal(-50 if row in self.ids[3::4] else 0)

    def ceiling(self, row):
        return decimal.Decimal(130) if row in self.ids[2::3] else None

    @property
    def bump(self):
        """What a writer by hand adds where no trigger counts."""
        return "" if self.guarded else ", seq = seq + 1"

    def make(self, connection):
        for row in [*self.ids, self.missing]:
            connection.execute(
                "INSERT INTO %s VALUES (%%s, 0)" % self.life, (row,))
        for row in self.ids:
            connection.execute(
                "INSERT INTO %s VALUES (%%s, %%s, 0, NULL, 0)" % self.name,
                (row, self.opening))
        rows = connection.execute(
            "SELECT id FROM %s ORDER BY id" % self.name).fetchall()
        self.order = {row["id"]: place for place, row in enumerate(rows)}

    def seen_sql(self):
        """All rows asked for, there or not, in one snapshot."""
        return ("SELECT l.id, coalesce(r.seq, l.seq) AS seq, r.id IS NOT NULL AS"
                " present, r.balance, r.version, r.mark FROM %s AS l"
                " LEFT JOIN %s AS r ON r.id = l.id WHERE l.id = ANY (%%s)"
                % (self.life, self.name))


def seen(row):
    """A line of seen_sql, or what RETURNING seq, balance, version, mark gave."""
    if not row.get("present", True):
        return Seen(row["seq"], None)
    return Seen(row["seq"], State(decimal.Decimal(row["balance"]),
                                  row["version"], row["mark"]))


PURSE = Table("purse", list(range(1, 11)), 99, True,
              decimal.Decimal("0.01"), decimal.Decimal("100.00"))
STOCK = Table("stock", ["ant", "Bee", "cat", "Dog", "eel", "Fly", "gnu", "Hen",
                        "ibis", "Jay"], "yeti", False,
              decimal.Decimal(1), decimal.Decimal(100))
TABLES = {table.short: table for table in (PURSE, STOCK)}


def make_tables(connection):
    connection.execute(SCHEMA)
    for table in TABLES.values():
        table.make(connection)
