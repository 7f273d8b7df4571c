"""What calls cost as the books grow: a database of each size, made at once.

The group `growth` makes calls, `checks` verifies.  The number of a setting is
that of the journal rows.  The databases are made by the first of the groups
that needs them and dropped with the last one.
"""

import time

ACCOUNTS = {10000: 10000, 1000000: 100000, 10000000: 1000000}
CHANGES = 1000  # transfers between the mark and the quick check
GROUPS = ("growth", "checks")

made = {}  # rows: what the scripts have to know of the book


def database(rows):
    return "growth_%d" % rows


def sizes(bench, group):
    """The settings under which something is measured."""
    wanted = {s.name for c in bench.contenders_left(group)
              for s in group.settings_of(c)}
    return [s for s in group.settings if s.name in wanted]


def prepare(bench, group):
    for setting in sizes(bench, group):
        if setting.number not in made:
            make(bench, setting.number)


def make(bench, rows):
    name = database(rows)
    started = time.monotonic()
    with bench.connect("postgres") as connection:
        connection.execute('CREATE DATABASE "%s"' % name)
    bench.psql(name, "empty.sql")
    bench.psql(name, "growth.sql")
    with bench.connect(name) as connection:
        connection.execute("CALL growth.load(%d, %d)" % (ACCOUNTS[rows], rows))
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")
        versions, began, seconds = connection.execute(
            "SELECT min(version), extract(epoch FROM max(last_at))::bigint - %d,"
            " %d FROM teller.account WHERE account_id < 0"
            % (rows // 1000, rows // 1000)).fetchone()
        size = connection.execute(
            "SELECT pg_database_size(current_database())").fetchone()[0]
    made[rows] = ["-Dversions=%d" % versions, "-Dbegan=%d" % began,
                  "-Dseconds=%d" % seconds]
    bench.notes.append("%d journal rows and %d accounts: %.0f MB, made in %.0f s"
                       % (rows, ACCOUNTS[rows], size / 1e6,
                          time.monotonic() - started))


def jobs(bench, group):
    if group.name == "checks":
        return []
    return [(call, (bench, group, contender, setting))
            for contender in bench.contenders_left(group)
            for setting in group.settings_of(contender)]


def call(bench, group, contender, setting):
    rows = setting.number
    before = bench.cpu_s()
    tps, number = bench.pgbench(
        contender.script or contender.name, database(rows),
        ["-T", str(bench.options.seconds), *made[rows]],
        bench.options.clients, ACCOUNTS[rows], setting.options)
    cpu_ms = (bench.cpu_s() - before) * 1000
    bench.note(group, contender.name, setting.name, tps, cpu_ms / max(number, 1))


def alone(bench, group):
    """Once: the largest book takes minutes."""
    if group.name != "checks":
        return
    wanted = {(c.name, s.name) for c in bench.contenders_left(group)
              for s in group.settings_of(c)}
    for setting in sizes(bench, group):
        with bench.connect(database(setting.number)) as connection:
            # also what leaves the mark
            seconds = timed(bench, connection, "SELECT teller.mark_verified(1)")
            if ("full", setting.name) in wanted:
                bench.note(group, "full", setting.name, *seconds)
            if ("quick", setting.name) not in wanted:
                continue
            bench.pgbench("transfer", database(setting.number),
                          ["-t", str(CHANGES // 4)], 4, ACCOUNTS[setting.number])
            seconds = timed(bench, connection,
                            "SELECT * FROM teller.verify(1, 'quick')")
            bench.note(group, "quick", setting.name, *seconds)


def timed(bench, connection, sql):
    before = bench.cpu_s()
    started = time.monotonic()
    connection.execute(sql).fetchall()
    return time.monotonic() - started, (bench.cpu_s() - before) * 1000


def problems(bench, group):
    """Those that check verify already: mark_verified raises what it finds."""
    found = []
    last = [name for name in bench.groups if name in GROUPS][-1]
    for setting in sizes(bench, group):
        name = database(setting.number)
        if group.name == "growth" and "checks" not in bench.groups:
            with bench.connect(name) as connection:
                found += ["%s: verify: %s" % (name, problem) for problem in
                          connection.execute("SELECT * FROM teller.verify()")]
    if group.name == last:
        with bench.connect("postgres") as connection:
            for rows in made:
                connection.execute('DROP DATABASE "%s" WITH (FORCE)'
                                   % database(rows))
        made.clear()
    return found
