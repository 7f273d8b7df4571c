#!/usr/bin/python3
"""Run a page of the docs: its commands must print what the page says.

A block after `<!-- test: NAME -->` goes to the psql session of database NAME
(`shell`: to sh).  A block right behind it, if there is one, is the output
that `psql -X -q` must print; without one there must be no error.  Sessions
stay open to the end of the page, so they can wait for each other.

A block after `<!-- race: CLAIM -->` shows two sessions side by side, see
race.py.  It runs in two sessions of its own.

usage: run_page.py [--database NAME] PAGE
    connects as PG* in the environment says.  With --database every session
    is one of that database, and NAME of a block only tells them apart.
"""
import argparse
import difflib
import re
import subprocess
import sys

import race

MARK = "=end of the block="


class Session:
    def __init__(self, database):
        self.psql = subprocess.Popen(
            ["psql", "-X", "-q", "-d", database], text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)

    def run(self, code):
        self.psql.stdin.write(f"{code}\n\\echo {MARK}\n")
        self.psql.stdin.flush()
        lines = []
        for line in self.psql.stdout:
            if line.rstrip("\n") == MARK:
                return 0, "".join(lines)
            lines.append(line)
        return 1, "".join(lines) + "the session ended\n"


def shell(code):
    done = subprocess.run(["sh", "-c", code], text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def fenced(lines, at):
    """The block that begins at line at, and the line behind it."""
    end = lines.index("```", at + 1)
    return "\n".join(lines[at + 1:end]), end + 1


def blocks(page):
    with open(page, encoding="utf-8") as file:
        lines = file.read().split("\n")
    at = 0
    while at < len(lines):
        mark = re.match(r"<!-- (test|race): (.+) -->", lines[at])
        at += 1
        if not mark:
            continue
        number = at
        code, at = fenced(lines, at)
        expected = None
        if at < len(lines) and lines[at] == "```":
            expected, at = fenced(lines, at)
        yield number, mark.group(1), mark.group(2), code, expected


def differences(status, output, expected):
    if expected is None:
        return [output] if status or "ERROR" in output else []
    return list(difflib.unified_diff(
        expected.rstrip("\n").split("\n"), output.rstrip("\n").split("\n"),
        "the page", "this run", lineterm=""))


def main(page, database):
    sessions = {}
    failed = seen = 0
    for number, kind, name, code, expected in blocks(page):
        claim = f"{page}, line {number}, {name}"
        if kind == "race":
            claim = name
            wrong = race.play(database or "postgres", code).split("\n")
            wrong = [line for line in wrong if line]
        elif name == "shell":
            wrong = differences(*shell(code), expected)
        else:
            if name not in sessions:
                sessions[name] = Session(database or name)
            wrong = differences(*sessions[name].run(code), expected)
        seen += 1
        failed += bool(wrong)
        print(f"{'not ok' if wrong else 'ok'} - {claim}")
        for line in wrong:
            print(f"# {line}")
    return failed or not seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--database")
    parser.add_argument("page")
    arguments = parser.parse_args()
    sys.exit(1 if main(arguments.page, arguments.database) else 0)
