"""Calls that pgbench makes and counts: a script, so many clients, so long.

The number of a setting is that of the clients, where it has one.
"""

import subprocess

BUILTIN_SCALE = 10
SMOKE_CALLS = 30  # of each client


def prepare(bench, group):
    """The tables of pgbench's own scripts."""
    if any((c.script or "").startswith("builtin:")
           for c in bench.contenders_left(group)):
        subprocess.run(
            [bench.program("pgbench"), "-i", "-q", "-I", "dtGvp",
             "-s", str(1 if bench.options.smoke else BUILTIN_SCALE),
             bench.dsn(bench.database(group))],
            check=True, capture_output=True)


def jobs(bench, group):
    return [(call, (bench, group, contender, setting))
            for contender in bench.contenders_left(group)
            for setting in group.settings_of(contender)]


def call(bench, group, contender, setting):
    length = (["-t", str(SMOKE_CALLS)] if bench.options.smoke
              else ["-T", str(bench.options.seconds)])
    before = bench.cpu_s()
    tps, number = bench.pgbench(
        contender.script or contender.name, bench.database(group), length,
        setting.number or bench.options.clients, bench.accounts(group),
        setting.options)
    cpu_ms = (bench.cpu_s() - before) * 1000
    bench.note(group, contender.name, setting.name, tps,
               cpu_ms / max(number, 1))
    bench.count(group, contender.name, number)
