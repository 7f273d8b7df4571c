"""What was measured, as text for people and as JSON for the charts."""

import os
import platform
import time
from typing import NamedTuple

import psycopg

import contenders

WIDE = "%-44s %-26s %28s %8s"
RATIO = "%-44s %-26s %10s %8s %8s %8s"


def number(value):
    """So many digits as mean something."""
    if value is None:
        return ""
    if abs(value) >= 100:
        return "%.0f" % value
    return "%.1f" % value if abs(value) >= 10 else "%.3f" % value


def spread(samples):
    values = sorted(sample.value for sample in samples)
    return "%s (%s to %s)" % (
        number(median(values)), number(values[0]), number(values[-1]))


def median(values):
    middle = len(values) // 2
    if len(values) % 2:
        return values[middle]
    return (values[middle - 1] + values[middle]) / 2


def ratio(bench, group, figure, setting, which=0):
    """Of the medians; the median of the rounds' ratios would be another
    number.  None where one of the two was not measured."""
    one = bench.median(group, figure.one, setting, which)
    other = bench.median(group, figure.other, figure.against or setting, which)
    if one is None or not other:
        return None
    return one / other


def ratios(bench, group):
    """Yields figure, name of the setting, ratio, ratio of the CPU."""
    figures = bench.figures_left(group)
    for figure in figures:
        for setting in group.settings:
            value = ratio(bench, group, figure, setting.name)
            if value is not None and shown(figures, figure, setting.name):
                yield (figure, setting.name, value,
                       ratio(bench, group, figure, setting.name, 1))


def shown(figures, figure, setting):
    """Each ratio with its target; those without one too, but once only."""
    if setting in figure.targets:
        return True
    same = [f for f in figures if f[:2] == figure[:2]]
    return (not figure.against and figure is same[0]
            and not any(setting in f.targets for f in same))


def reached(figure, value, target):
    """1 is the target exactly; more is better."""
    return target / max(value, 1e-9) if figure.most else value / target


class Decisive(NamedTuple):
    """The figure that a row shows."""

    reached: float  # 1 is the target exactly
    ratio: float
    target: float
    figure: str
    setting: str
    most: bool


def rows(bench):
    """{row: Decisive}: where a row has several targets, the one that is
    furthest below it, or the least above, decides."""
    decides = {}
    for group in bench.groups.values():
        for figure, setting, value, _ in ratios(bench, group):
            target = figure.targets.get(setting)
            if figure.row is None or target is None:
                continue
            found = Decisive(
                reached(figure, value, target), value, target,
                "%s / %s" % (figure.one, figure.other), setting, figure.most)
            decides[figure.row] = min(decides.get(figure.row, found), found)
    return {row: decides[row] for row in sorted(decides, key=contenders.row_order)}


def missed(bench):
    return ["row %s is missed by %.0f %%: %s, %s: %.3f, and the target is %s%.2f"
            % (row, 100 * (1 - found.reached), found.figure, found.setting,
               found.ratio, "at most " * found.most, found.target)
            for row, found in rows(bench).items() if found.reached < 1]


def row_lines(bench):
    return ["row %s: ratio %.3f target %.2f" % (row, found.ratio, found.target)
            for row, found in rows(bench).items()]


# ----------------------------------------------------------------------- machine

def cpu_model():
    try:
        with open("/proc/cpuinfo") as file:
            for line in file:
                if line.startswith("model name"):
                    return " ".join(line.partition(":")[2].split())
    except OSError:
        pass
    return platform.machine()


def memory_gb():
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30


def flush_ms(directory):
    """What a commit waits for: the median of 200 times 8 kB and fdatasync."""
    path = os.path.join(directory, "flush_test")
    times = []
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    try:
        os.write(handle, bytes(1 << 20))
        os.fsync(handle)
        for turn in range(200):
            started = time.perf_counter()
            os.pwrite(handle, bytes([turn % 256]) * 8192, turn % 128 * 8192)
            os.fdatasync(handle)
            times.append(time.perf_counter() - started)
    finally:
        os.close(handle)
        os.unlink(path)
    return median(sorted(times)) * 1000


def machine(bench):
    with bench.connect("postgres") as connection:
        version = connection.execute("SHOW server_version").fetchone()[0]
        settings = dict(connection.execute(
            "SELECT name, current_setting(name) FROM pg_settings"
            " WHERE source = 'configuration file' AND name NOT LIKE '%directories'"
            " AND name NOT IN ('port', 'log_line_prefix', 'listen_addresses')"
            " AND name !~ '^(lc_|default_text|log_timezone|TimeZone|DateStyle)'"
            " ORDER BY 1").fetchall())
    return {
        "cpu": cpu_model(), "cores": os.cpu_count(),
        "memory_gb": round(memory_gb()), "kernel": platform.release(),
        "architecture": platform.machine(), "postgresql": version,
        "settings": settings, "flush_ms": round(flush_ms(bench.options.data), 3),
        "load_before": round(bench.load_before, 1),
        "psycopg": "%s (%s)" % (psycopg.__version__, psycopg.pq.__impl__),
    }


# ------------------------------------------------------------------------- text

def header(bench, on):
    options = bench.options
    return [
        "pg_teller bench, %s, commit %s" % (time.strftime("%Y-%m-%d"), options.commit),
        "%s, %d cores, %d GB, Linux %s, %s" % (
            on["cpu"], on["cores"], on["memory_gb"], on["kernel"],
            on["architecture"]),
        "PostgreSQL %s, psycopg %s" % (on["postgresql"], on["psycopg"]),
        ", ".join("%s %s" % pair for pair in on["settings"].items()),
        "fsync on; 8 kB and fdatasync take %.2f ms; load before: %.1f" % (
            on["flush_ms"], on["load_before"]),
        "%d rounds of %d s in random order, pgbench -M prepared, seed %d" % (
            options.rounds, options.seconds, options.seed),
        "medians (lowest to highest); CPU is the server's, in ms",
    ]


def table(bench, on):
    lines = header(bench, on)
    for group in bench.groups.values():
        if any(key[0] == group.name for key in bench.results):
            lines += table_of(bench, group)
    lines += left_out(bench)
    lines += [""] * bool(bench.notes) + bench.notes
    late = [] if bench.options.smoke else missed(bench)
    return lines + [""] * bool(late) + late


def title(bench, group):
    words = group.title.format(clients=bench.options.clients)
    return "%s; %d accounts or rows" % (words, bench.accounts(group))


def table_of(bench, group):
    lines = ["", title(bench, group), WIDE % (
        "", "", group.unit, "CPU"), "-" * 109]
    for contender in group.contenders:
        for setting in group.ordered_settings_of(contender):
            samples = bench.samples(group, contender.name, setting.name)
            if samples:
                lines.append((WIDE % (
                    contender.title, setting.name, spread(samples),
                    number(bench.median(group, contender.name, setting.name, 1))
                )).rstrip())
    found = list(ratios(bench, group))
    if found:
        lines.append(RATIO % ("ratio", "", group.unit, "target", "CPU", "row"))
    for figure, setting, value, cpu in found:
        target = figure.targets.get(setting)
        against = " / " + figure.against if figure.against else ""
        lines.append((RATIO % (
            "%s / %s" % (figure.one, figure.other), setting + against,
            "%.3f" % value, "" if target is None else
            "%s%.2f" % ("<= " if figure.most else "", target),
            "" if cpu is None else "%.2f" % cpu, figure.row or "")).rstrip())
    return lines


def left_out(bench):
    """What was not measured, each with the rows that have no figure thereby."""
    lines = []
    for (name, contender), why in bench.left_out.items():
        group = bench.groups[name]
        lost = sorted({f.row for f in group.figures
                       if f.row and contender in (f.one, f.other)},
                      key=contenders.row_order)
        lines.append("left out: %s%s: %s" % (
            group.contender(contender).title,
            " (row %s)" % ", ".join(lost) if lost else "", why))
    return [""] * bool(lines) + lines


# ------------------------------------------------------------------------- JSON

def document(bench, on):
    return {
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": bench.options.commit,
        "machine": on,
        "rounds": bench.options.rounds,
        "seconds": bench.options.seconds,
        "clients": bench.options.clients,
        "groups": {group.name: part(bench, group)
                   for group in bench.groups.values()},
        "rows": {row: found._asdict() for row, found in rows(bench).items()},
        "left_out": left_out(bench)[1:],
        "notes": bench.notes,
        "problems": bench.problems,
    }


def part(bench, group):
    return {
        "title": title(bench, group),
        "unit": group.unit,
        "cpu": "ms for each " + group.per,
        "took_s": round(bench.seconds.get(group.name, 0), 1),
        "calls": {c.name: bench.calls_made.get((group.name, c.name), 0)
                  for c in group.contenders},
        "results": [
            {
                "contender": contender.name, "title": contender.title,
                "setting": setting.name, "number": setting.number,
                "median": bench.median(group, contender.name, setting.name),
                "cpu_ms": bench.median(group, contender.name, setting.name, 1),
                "values": [s.value for s in bench.samples(
                    group, contender.name, setting.name)],
            }
            for contender in group.contenders
            for setting in group.ordered_settings_of(contender)
            if bench.samples(group, contender.name, setting.name)
        ],
        "ratios": [
            {"one": f.one, "other": f.other, "row": f.row, "setting": setting,
             "against": f.against, "ratio": value, "cpu": cpu,
             "target": f.targets.get(setting), "most": f.most}
            for f, setting, value, cpu in ratios(bench, group)
        ],
    }
