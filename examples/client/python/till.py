#!/usr/bin/python3
"""The till of a small shop; see ../README.md.  Connects as PG* says."""

import os
import sys

import psycopg

from teller import OutcomeUnknown, Teller

LEDGER, ALICE, SHOP, FEES = 1, 2, 3, 4


def pay(teller, purchase, amount, version=None):
    def work(tx):
        moved = tx.transfer(LEDGER, ALICE, SHOP, amount, key=purchase,
                            expected_version=version and int(version))
        if not moved.replayed:
            tx.execute("INSERT INTO purchase VALUES (%s, %s, %s)",
                       [purchase, moved.amount, moved.id])
        return moved

    show(teller.transaction(work))


def split(teller, purchase, amount, fee):
    for moved in teller.post(LEDGER, [(ALICE, SHOP, amount), (ALICE, FEES, fee)],
                             key=purchase):
        show(moved)


def reserve(teller, purchase, amount):
    held = teller.hold(LEDGER, ALICE, SHOP, amount, key=purchase, ttl="1 hour")
    print(f"{held.status} {held.id}, replayed {str(held.replayed).lower()}")


def capture(teller, purchase, hold, amount=None):
    show(teller.capture(LEDGER, hold, amount, key=purchase))


def release(teller, purchase, hold):
    released = teller.release(LEDGER, hold, key=purchase)
    print(f"{released.status}, replayed {str(released.replayed).lower()}")


def show(moved):
    print(f"{moved.status} {moved.amount}, replayed {str(moved.replayed).lower()}")


def tell(attempt, error):
    print(f"attempt {attempt} failed: {error.sqlstate or 'connection'}", file=sys.stderr)


COMMANDS = {"pay": pay, "split": split, "reserve": reserve, "capture": capture,
            "release": release}


def main(arguments):
    patient = arguments[:1] == ["--patient"]
    command, *rest = arguments[patient:] or [""]
    if command not in COMMANDS:
        print(f"usage: till.py [--patient] {'|'.join(COMMANDS)} ...", file=sys.stderr)
        return 2
    teller = Teller(psycopg.connect, attempts=int(os.environ.get("TILL_ATTEMPTS", 8)),
                    retry_lock_timeout=patient, on_retry=tell)
    try:
        COMMANDS[command](teller, *rest)
    except Exception as error:
        first_line = str(error).partition("\n")[0]
        print(f"{type(error).__name__}: {first_line}", file=sys.stderr)
        return 3 if isinstance(error, OutcomeUnknown) else 1
    finally:
        teller.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
