#!/usr/bin/python3
"""Draws the charts of bench/results from the JSON there; measures nothing.

    bench/charts.py [--into DIRECTORY] [FILE.json...]

Without files, each chart is drawn from the newest file that has its group; a
chart that no file has figures for is left as it is.
"""

import argparse
import glob
import json
import math
import os
from typing import NamedTuple, Optional
from xml.sax.saxutils import escape

RESULTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results")

WIDTH, HEIGHT = 820, 440
LEFT, RIGHT, TOP, BOTTOM = 78, 240, 78, 62
PLOT_WIDTH = WIDTH - LEFT - RIGHT
PLOT_HEIGHT = HEIGHT - TOP - BOTTOM
LINE_HEIGHT = 15
LABEL_LETTERS = 27

# The card has a background of its own, so that it is readable wherever it is
# shown; where the viewer follows the reader's choice, dark is darker.
STYLE = """
text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
.card { fill: #ffffff; stroke: #d0d7de }
.title { font-size: 17px; font-weight: 600 }
.quiet { fill: #57606a; font-size: 12px }
.grid { stroke: #e4e8ec }
.axis { stroke: #8c959f }
.line { fill: none; stroke-width: 2 }
.ours { stroke-width: 3 }
.range { stroke-width: 1; opacity: 0.6 }
.leader { stroke-width: 1; opacity: 0.5 }
%s
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 }
.card { fill: #161b22; stroke: #30363d }
.quiet { fill: #9da7b3 }
.grid { stroke: #2a313a }
.axis { stroke: #6e7681 }
%s
}
"""
LIGHT = ("#0b5cad", "#c2410c", "#5f6b7a", "#15803d", "#9333a8", "#a16207")
DARK = ("#6cb2ff", "#ff9a62", "#a7b3c2", "#5fd38a", "#d9a0f0", "#e3b341")


class Chart(NamedTuple):
    file: str
    group: str
    title: str
    x: str
    y: str
    labels: dict  # contender: what the chart calls it; ours come first
    ours: tuple  # those drawn thicker
    logarithmic: bool = False
    relative: bool = False  # cost, beside that at the smallest number


CHARTS = [
    Chart("clients.svg", "clients", "Transfers per second, by clients",
          "clients (logarithmic)", "transfers per second", {
              "transfer": "teller.transfer",
              "insert": "bare INSERT of one journal row",
              "plpgsql": "PL/pgSQL function, by hand",
              "cte": "one SQL statement, by hand",
          }, ("transfer",)),
    Chart("hot.svg", "hot", "One account in every transfer, by clients",
          "clients (logarithmic)", "transfers per second", {
              "hot_out": "hot account, paying out",
              "hot_in": "hot account, paid into",
              "early_out": "transfer_early on one account",
              "spread": "different accounts",
              "row_out": "one account, row lock",
          }, ("hot_out", "hot_in", "early_out")),
    Chart("batches.svg", "batches", "Batches: items per second, by items of a batch",
          "items of a batch (logarithmic)", "items per second (logarithmic)", {
              "post": "teller.post, atomic",
              "copy": "COPY of the same journal rows",
              "set_based": "set-based SQL, by hand",
          }, ("post",), logarithmic=True),
    Chart("growth.svg", "growth", "Cost of a call, by rows of the journal",
          "rows of the journal (logarithmic)",
          "times the cost with the smallest", {}, (), relative=True),
]


class Series(NamedTuple):
    name: str
    label: str
    points: list  # (x, y, lowest, highest), by x


class Axes(NamedTuple):
    numbers: list  # of x, each a tick
    bottom: float
    top: float
    logarithmic: bool

    def x(self, number):
        first, last = math.log(self.numbers[0]), math.log(self.numbers[-1])
        return LEFT + 16 + (PLOT_WIDTH - 32) * (
            (math.log(number) - first) / ((last - first) or 1))

    def y(self, value):
        if self.logarithmic:
            part = (math.log(max(value, self.bottom)) - math.log(self.bottom)) / (
                math.log(self.top) - math.log(self.bottom))
        else:
            part = (value - self.bottom) / (self.top - self.bottom)
        return TOP + PLOT_HEIGHT * (1 - part)


# ---------------------------------------------------------------------- the data

def newest(files, group) -> Optional[dict]:
    """The newest document that measured the group."""
    found = None
    for file in files:
        with open(file) as handle:
            document = json.load(handle)
        if document["groups"].get(group, {}).get("results"):
            if not found or document["made"] > found["made"]:
                found = document
    return found


def series_of(chart, part):
    """In the order of the chart's labels, or as they were measured."""
    found = {}
    for result in part["results"]:
        # A setting of a number and one thing more is not on the axis.
        plain = result["number"] and "," not in result["setting"]
        if plain and (not chart.labels or result["contender"] in chart.labels):
            found.setdefault(result["contender"], []).append(result)
    made = []
    for name in chart.labels or found:
        points = sorted(
            (r["number"], r["median"], min(r["values"]), max(r["values"]))
            for r in found.get(name, []))
        if len(points) > 1:
            label = chart.labels.get(name) or found[name][0]["title"]
            if chart.relative:
                label, points = relative(label, points, part["unit"])
            made.append(Series(name, label, points))
    return made


def relative(label, points, unit):
    """Costs beside the first; a rate is the inverse of a cost."""
    base = points[0][1]
    if "tps" in unit or "per second" in unit:
        scaled = [(x, base / y, base / high, base / low)
                  for x, y, low, high in points]
    else:
        scaled = [(x, y / base, low / base, high / base)
                  for x, y, low, high in points]
    return "%s (%s %s)" % (label, short(base), unit), scaled


def short(value):
    if value >= 1e6:
        return "%gM" % float("%.3g" % (value / 1e6))
    if value >= 1e4:
        return "%gk" % float("%.3g" % (value / 1e3))
    return "%g" % float("%.3g" % value)


# ---------------------------------------------------------------------- the axes

def step_of(top):
    """1, 2 or 5 times a power of ten, for four to eight lines."""
    power = 10 ** math.floor(math.log10(top / 4))
    return next(power * n for n in (1, 2, 5, 10) if top / (power * n) <= 8)


def axes_of(chart, series):
    numbers = sorted({point[0] for one in series for point in one.points})
    highest = max(point[3] for one in series for point in one.points)
    lowest = min(point[2] for one in series for point in one.points)
    if chart.logarithmic:
        ticks = [10 ** p * n for p in range(-3, 9) for n in (1, 2, 5)]
        axes = Axes(numbers, max(t for t in ticks if t <= lowest),
                    min(t for t in ticks if t >= highest), True)
    else:
        step = step_of(highest)
        axes = Axes(numbers, 0, math.ceil(highest / step) * step, False)
        ticks = [step * n for n in range(40)]
    return axes, [t for t in ticks if axes.bottom <= t <= axes.top * 1.0001]


def frame(chart, axes, ticks, about):
    yield ('<rect class="card" x="0.5" y="0.5" width="%d" height="%d" rx="8"/>'
           % (WIDTH - 1, HEIGHT - 1))
    yield text(24, 32, chart.title, "title")
    yield text(24, 54, about, "quiet")
    for tick in ticks:
        y = axes.y(tick)
        yield line(LEFT, y, LEFT + PLOT_WIDTH, y, "grid")
        yield text(LEFT - 10, y + 4, short(tick), "quiet", "end")
    foot = TOP + PLOT_HEIGHT
    yield line(LEFT, foot, LEFT + PLOT_WIDTH, foot, "axis")
    for number in axes.numbers:
        x = axes.x(number)
        yield line(x, foot, x, foot + 5, "axis")
        yield text(x, foot + 21, short(number), "quiet", "middle")
    yield text(LEFT + PLOT_WIDTH / 2, HEIGHT - 18, chart.x, "", "middle")
    yield ('<text transform="translate(22 %.1f) rotate(-90)" text-anchor="middle">'
           '%s</text>' % (TOP + PLOT_HEIGHT / 2, escape(chart.y)))


def text(x, y, words, kind="", anchor="start"):
    return '<text class="%s" x="%.1f" y="%.1f" text-anchor="%s">%s</text>' % (
        kind, x, y, anchor, escape(words))


def line(x1, y1, x2, y2, kind):
    return '<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>' % (
        kind, x1, y1, x2, y2)


# -------------------------------------------------------------------- the curves

def marker(turn, x, y):
    """A shape for each series, for those who do not see the colours."""
    kind = "f%d" % turn
    shapes = (
        '<circle class="%s" cx="%.1f" cy="%.1f" r="4"/>' % (kind, x, y),
        '<rect class="%s" x="%.1f" y="%.1f" width="8" height="8"/>'
        % (kind, x - 4, y - 4),
        '<path class="%s" d="M%.1f %.1f l5 9 h-10 z"/>' % (kind, x, y - 5.5),
        '<path class="%s" d="M%.1f %.1f l5 5 l-5 5 l-5 -5 z"/>' % (kind, x, y - 5),
        '<path class="%s" d="M%.1f %.1f l5 -9 h-10 z"/>' % (kind, x, y + 5.5),
        '<circle class="e%d" cx="%.1f" cy="%.1f" r="3.5"/>' % (turn, x, y),
    )
    return shapes[turn % len(shapes)]


def curve(axes, turn, one, thick):
    places = [(axes.x(x), axes.y(y)) for x, y, _, _ in one.points]
    for x, _, low, high in one.points:
        yield line(axes.x(x), axes.y(low), axes.x(x), axes.y(high),
                   "range s%d" % turn)
    yield '<polyline class="line %ss%d" points="%s"/>' % (
        "ours " if thick else "", turn,
        " ".join("%.1f,%.1f" % place for place in places))
    for x, y in places:
        yield marker(turn, x, y)


def wrapped(label):
    """One or two lines."""
    if len(label) <= LABEL_LETTERS:
        return [label]
    cut = label.rfind(" ", 0, LABEL_LETTERS)
    return [label[:cut], label[cut + 1:]] if cut > 0 else [label]


def apart(wanted, heights):
    """Places for the labels: each near where it is wanted (ascending), none
    over another, all within the plot."""
    places = []
    free = TOP - 8.0
    for y, height in zip(wanted, heights):
        places.append(max(y - height / 2, free))
        free = places[-1] + height + 4
    limit = TOP + PLOT_HEIGHT + 12.0
    for turn in range(len(places) - 1, -1, -1):
        places[turn] = min(places[turn], limit - heights[turn])
        limit = places[turn] - 4
    return places


def labels(axes, series):
    ends = sorted((axes.y(one.points[-1][1]), turn)
                  for turn, one in enumerate(series))
    words = [wrapped(series[turn].label) for _, turn in ends]
    places = apart([y for y, _ in ends], [LINE_HEIGHT * len(w) for w in words])
    left = LEFT + PLOT_WIDTH + 26
    for (y, turn), lines, top in zip(ends, words, places):
        x = axes.x(series[turn].points[-1][0])
        middle = top + LINE_HEIGHT * len(lines) / 2
        yield line(x + 6, y, left - 12, middle, "leader s%d" % turn)
        yield marker(turn, left - 6, middle)
        for number, part in enumerate(lines):
            yield text(left + 6, top + LINE_HEIGHT * number + 12, part)


# --------------------------------------------------------------------- the files

def colours(palette):
    return "\n".join(
        ".s%d { stroke: %s } .f%d { fill: %s } .e%d { fill: none; stroke: %s;"
        " stroke-width: 2 }" % (n, c, n, c, n, c) for n, c in enumerate(palette))


def draw(chart, document):
    part = document["groups"][chart.group]
    series = series_of(chart, part)[:len(LIGHT)]
    if not series:
        return None
    axes, ticks = axes_of(chart, series)
    machine = document["machine"]
    about = ("PostgreSQL %s, %d cores, %s; medians of %d rounds, bars: lowest to"
             " highest" % (machine["postgresql"].split()[0], machine["cores"],
                           document["made"][:10], document["rounds"]))
    lines = [
        '<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d"'
        ' viewBox="0 0 %d %d" role="img" aria-label="%s">'
        % (WIDTH, HEIGHT, WIDTH, HEIGHT, escape(chart.title, {'"': "&quot;"})),
        "<style>%s</style>" % (STYLE % (colours(LIGHT), colours(DARK))),
        *frame(chart, axes, ticks, about),
    ]
    for turn, one in reversed(list(enumerate(series))):
        lines += curve(axes, turn, one, one.name in chart.ours)
    lines += labels(axes, series)
    return "\n".join(lines + ["</svg>", ""])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*")
    parser.add_argument("--into", default=RESULTS)
    options = parser.parse_args()
    files = options.files or sorted(glob.glob(os.path.join(RESULTS, "*.json")))
    for chart in CHARTS:
        document = newest(files, chart.group)
        drawing = draw(chart, document) if document else None
        if drawing is None:
            print("no figures for %s" % chart.file)
            continue
        with open(os.path.join(options.into, chart.file), "w") as file:
            file.write(drawing)
        print("drew %s from the figures of %s" % (chart.file, document["made"]))


if __name__ == "__main__":
    main()
