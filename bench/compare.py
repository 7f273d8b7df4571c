#!/usr/bin/python3
"""Runs the groups of contenders and prints medians and ratios.

What is measured is in contenders.py, the server in measure.py, the table in
report.py.  Names of groups and rows of the targets choose among them; the last
lines are the targets that were measured.
"""

import argparse
import json
import sys

import contenders
import measure
import report


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("what", nargs="*")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--bin", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--json", required=True, help="a file to be written")
    parser.add_argument("--commit", default="unknown")
    parser.add_argument("--pgledger", help="a file with pgledger's SQL")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=2)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--accounts", type=int, default=100000)
    parser.add_argument("--settle", type=int, default=8000,
                        help="withdrawals that one round settles")
    parser.add_argument("--items", type=int, default=128000,
                        help="of the batches that one round posts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--smoke", action="store_true",
                        help="each contender under one setting, briefly")
    return parser.parse_args()


def briefly(options, groups):
    """Every contender once."""
    options.rounds = options.seconds = 1
    options.accounts = 1000
    options.settle = 160
    options.items = 1000
    return {
        name: group._replace(contenders=[
            c._replace(settings=tuple(s.name for s in group.settings_of(c)[:1]))
            for c in group.contenders])
        for name, group in groups.items()}


def main():
    options = arguments()
    everything = list(contenders.GROUPS) if options.smoke else None
    groups = contenders.choose(options.what or everything)
    if options.smoke:
        groups = briefly(options, groups)
    bench = measure.Bench(options, groups)
    bench.run()
    machine = report.machine(bench)
    for line in report.table(bench, machine):
        print(line)
    print()
    for problem in bench.problems[:10]:
        print(problem)
    print("%s - after the bench the books verify and the tables hold what the "
          "calls left" % ("not ok" if bench.problems else "ok"))
    if not options.smoke:
        for line in report.row_lines(bench):
            print(line)
    with open(options.json, "w") as file:
        json.dump(report.document(bench, machine), file, indent=1)
        file.write("\n")
    sys.exit(1 if bench.problems else 0)


if __name__ == "__main__":
    main()
