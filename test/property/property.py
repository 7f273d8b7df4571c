#!/usr/bin/python3
"""Random calls by three sessions, compared one by one with a model.

hypothesis chooses the calls and, when one differs, looks for the shortest
example that still does; that is what is printed.  The same seed gives the same
calls.  Needs a superuser's database with pg_teller and no worker.

With --hot some accounts are hot, or become so.  That needs a server which
preloads pg_teller.  With a worker there (let teller.fold_interval be 10ms) hot
accounts are folded all the time, but no hold becomes due: the worker would
expire it beside the model.  Without one (max_worker_processes = 0) holds become
due, and are expired by calls.  Not in the model: the order of a statement() of
an account that is or was hot, which is read at the end only, and set_hot()
and the like while somebody uses it.  For many clients at once see test/hot.
"""

import argparse
import itertools
import sys
import time

from hypothesis import HealthCheck, Phase, Verbosity, seed, settings
from hypothesis.errors import Flaky
from hypothesis.internal.conjecture import engine
from hypothesis.stateful import run_state_machine_as_test

from driver import Difference, Server
from hot_machine import HotMachine
from locks import KEYED
from machine import Machine

EXAMPLES = 40  # of a round; each round has a seed of its own
STEPS = 60
ENOUGH = 14000  # calls; a run of so many meets every kind of answer
ENOUGH_HOT = 3000
KINDS = ("answered", "replayed", "TL003", "TL009")
WAITS = 100
UNDECIDED = 4


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--calls", type=int, default=20000)
    parser.add_argument("--hot", action="store_true",
                        help="some accounts are hot; a worker may be there")
    parser.add_argument("--shrink-s", type=int, default=30,
                        help="how long to look for a shorter example; 0: not at all")
    return parser.parse_args()


def one_round(kind, number, shrink):
    """The first difference that hypothesis finds, as short as it gets, or None."""
    machine = seed(number)(type("Round", (kind,), {}))
    try:
        run_state_machine_as_test(machine, settings=settings(
            max_examples=EXAMPLES, stateful_step_count=STEPS, deadline=None,
            database=None, print_blob=False, report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            phases=(Phase.generate, Phase.shrink) if shrink else (Phase.generate,),
            suppress_health_check=list(HealthCheck)))
    except Difference as difference:
        return str(difference)
    except Flaky as flaky:
        return "%s\nit did not happen again: %s" % (flaky.__context__, flaky)
    return None


def main():
    options = parse()
    engine.MAX_SHRINKING_SECONDS = options.shrink_s
    Machine.server = server = Server()
    server.eye.execute("CREATE EXTENSION IF NOT EXISTS pg_teller")
    if server.has_worker():
        if not options.hot:
            sys.exit("a worker is here: it would expire holds beside the model")
        Machine.dues, server.folds = False, True
    kind = HotMachine if options.hot else Machine
    server.eye.execute("SELECT teller.create_asset('USD', 2),"
                       " teller.create_asset('JPY', 0), teller.create_asset('BTC', 30)")
    server.tidy()
    started, number = time.monotonic(), options.seed
    claim = "every answer, refusal and balance is the model's"
    while server.calls < options.calls:
        found = one_round(kind, number, options.shrink_s > 0)
        if found:
            shown = [line for line in found.splitlines() if line[1:3] == ": "]
            print("not ok - %s: seed %d, shown by %d statements" % (
                claim, number, len(shown)))
            print("\n".join("  " + line for line in found.splitlines()))
            print("again: test/property/run.sh %s--seed %d --calls 1" % (
                "--hot " * options.hot, number))
            print("0 passed, 1 failed")
            sys.exit(1)
        number += 1
    print("ok - %s: %d calls, seeds %d to %d, %d s" % (
        claim, server.calls, options.seed, number - 1, time.monotonic() - started))
    is_long = options.calls >= (ENOUGH_HOT if options.hot else ENOUGH)
    if is_long and not (all_hot if options.hot else all_kinds)(server.seen):
        print("1 passed, 1 failed")
        sys.exit(1)
    print("%d passed, 0 failed" % (2 if is_long else 1))


def show(seen):
    for (function, how), times in sorted(seen.items()):
        print("# %-15s %-20s %d" % (function, how, times))


def all_hot(seen):
    """Of a long run with hot accounts: did it meet what they alone have?"""
    show(seen)
    undecided = sum(seen[function, "undecided"] for function in KEYED)
    switched = seen["set_hot", "answered"]
    limited = seen["set_limits", "waited"]
    sound = undecided >= UNDECIDED and switched > 0 and limited > 0
    print("%s - %d calls waited for what was not certain of a hot account, %d set its limits"
          " and waited for those who used it, and %d times one became hot or was so no"
          " longer" % ("ok" if sound else "not ok", undecided, limited, switched))
    return sound


def all_kinds(seen):
    """Of a long run: did it meet every kind of answer?"""
    show(seen)
    missing = [pair for pair in sorted(itertools.product(KEYED, KINDS))
               if not seen[pair]]
    waited = sum(seen[function, "waited"] for function in KEYED)
    sound = not missing and waited >= WAITS
    print("%s - every function answered, replayed and refused, and %d calls waited"
          % ("ok" if sound else "not ok", waited))
    if missing:
        print("never met: %s" % missing)
    return sound


if __name__ == "__main__":
    main()
