"""The calls of one job are so many, and not so long: they stay open, and only so
many operations may be open at once."""

CLIENTS = 8
CALLS = 4000  # of all clients, in each round
SMOKE_CALLS = 240


def jobs(bench, group):
    return [(call, (bench, group, contender, setting))
            for contender in bench.contenders_left(group)
            for setting in group.settings_of(contender)]


def call(bench, group, contender, setting):
    calls = SMOKE_CALLS if bench.options.smoke else CALLS
    before = bench.cpu_s()
    tps, number = bench.pgbench(
        contender.script or contender.name, bench.database(group),
        ["-t", str(calls // CLIENTS)], CLIENTS, bench.accounts(group))
    cpu_ms = (bench.cpu_s() - before) * 1000
    bench.note(group, contender.name, setting.name, tps, cpu_ms / number)
    bench.count(group, contender.name, number)
