"""The claims: the log, the tables and what the clients saw against the model."""

import collections
import json
import time

from psycopg.types.json import Jsonb

from actor import outside
from check import Claims
from replay import Replay
from table import TABLES, seen
from tickets import Tickets

# Nothing else may ever reach a client.
KNOWN_ERRORS = {
    "TL001", "TL002", "TL003", "TL004", "TL009", "40001", "40P01", "55000",
    "55P03", "57014", "57P01", "MD001",
}
# From here on the run must have met everything there is.
ENOUGH_CALLS = 8000

MUST_MEET = (
    "committed", "rolled back", "one", "locked", "asked", "loose",
    "REPEATABLE READ", "SERIALIZABLE", "debit", "credit", "update", "write",
    "touch", "insert", "delete", "see", "TL001", "TL002", "TL003", "TL004",
    "TL009", "40001", "40P01", "55000", "55P03", "57014", "MD001", "watched",
    "started", "in_progress", "finished", "overtaken", "late",
    "cancels", "kills", "looks", "kept",
)


def read_log(connection):
    return {row["tx"]: json.loads(row["effects"]) for row in connection.execute(
        "SELECT tx, effects::text FROM teller_rows.log")}


def mix_of(works, actors, log, tickets, companions):
    """How often the run met what; a run that met nothing proves nothing."""
    met = collections.Counter(tickets.met)
    for work in works:
        met.update((work.fate, work.shape, work.level))
        met.update(work.errors)
    for effects in log.values():
        met.update(effect["do"] for effect in effects)
    met["refused after a wait"] = sum(
        refusal.step.since > refusal.step.before.seq
        for actor in actors for refusal in actor.refusals)
    met["refusals judged"] = sum(len(actor.refusals) for actor in actors)
    met["watched"] = sum(actor.watched for actor in actors)
    watcher, disturber, keeper = companions
    met["looks"] = watcher.rounds
    met["cancels"] = disturber.cancelled
    met["kills"] = disturber.terminated
    met["kept"] = keeper.kept
    return met


def claim_log(claims, works, log):
    wrong = [(work.name, work.fate, work.errors) for work in works
             if work.fate != "unknown"
             and (work.fate == "committed") != (work.name in log)]
    claims.none(wrong, "the log has the transactions that committed, and no other")


def claim_stories(claims, replay, watcher):
    wrong = replay.wrong
    claims.none(wrong["order"], "the effects on each row are all there, in one order")
    claims.none(wrong["answer"], "every answer is what the model says")
    claims.none(wrong["lost"], "no write is lost: each found the row as its writer had read it")
    claims.none(wrong["version"], "versions count every update of a guarded row, and no other's")
    claims.none(wrong["bound"] + watcher.found + [
        story.name(*entry) for story in replay.stories.values()
        for entry in story.effects
        if story.states[entry[0]] is not None
        and outside(story.table, story.row, story.states[entry[0]].balance)
    ], "no balance is ever below its floor or above its ceiling")
    claims.none(wrong["sight"], "what was read under a lock is what was there")


def claim_tables(claims, connection, replay):
    wrong = []
    for table in TABLES.values():
        rows = connection.execute(
            table.seen_sql(), ([*table.ids, table.missing],)).fetchall()
        for row in rows:
            story = replay.stories[table.short, row["id"]]
            now = seen(row)
            if now.seq != max(story.states) or now.state != story.states[now.seq]:
                wrong.append((table.short, row["id"], now,
                              story.states[max(story.states)]))
    claims.none(wrong, "the tables end as the model says")


def claim_refusals(claims, replay, actors):
    unjust = collections.defaultdict(list)
    for actor in actors:
        for refusal in actor.refusals:
            if not replay.just(refusal):
                step = refusal.step
                unjust[refusal.code].append((
                    refusal.work, refusal.level, step.table.short, step.row,
                    step.args, refusal.said, "from #%d, at most #%d: %s" % (
                        step.since, refusal.after.seq, replay.seen_by(refusal))))
    claims.none(unjust.pop("TL001", []) + unjust.pop("TL004", []),
                "nothing was denied that the balance and the bound allowed, then")
    claims.none(unjust.pop("TL002", []),
                "every version conflict was one, and told the present version")
    claims.none(unjust.pop("TL009", []), "no row that was there was not found")
    claims.none(sum(unjust.values(), []), "no call was refused for another reason")


def claim_locks(claims, actors):
    claims.none([one for actor in actors for one in actor.locks],
                "lock_rows locks what was asked for, once, in the order of the keys")
    claims.none([one for actor in actors for one in actor.broken],
                "a row that a transaction holds is changed by nobody else")


def claim_errors(claims, works):
    errors = [(work.name, work.shape, work.level, work.phase, error)
              for work in works for error in work.errors]
    claims.none([e for e in errors if e[4] not in KNOWN_ERRORS],
                "no error but those that are documented")
    claims.none([e for e in errors if e[4] == "40P01" and e[3] == "orderly"],
                "no deadlock among transactions of one call, or that locked first")
    claims.none([e for e in errors if e[4] == "40001" and e[2] == "READ COMMITTED"],
                "no 40001 at READ COMMITTED")


def claim_requests(claims, connection, desk, tickets, actors):
    wrong = tickets.wrong
    claims.none(wrong["once"], "a request is begun afresh by one at a time, and finished once")
    claims.none(wrong["answer"], "everybody else gets the response that is stored")
    claims.none(wrong["mismatch"], "another request under a key is refused, and the same is not")
    claims.none(wrong["lease"], "a request is in progress while a lease runs, and late only after it")
    claims.none([one for actor in actors for one in actor.leaks],
                "what leaves a request unfinished does not commit, and what finished it does")
    claims.none(list(ask_again(connection, desk, tickets)),
                "asked again in the end, every request gives what the model says")


def ask_again(connection, desk, tickets):
    for ticket in tickets.by_key.values():
        expected = tickets.expected(ticket, time.time())
        body = ticket.body() or {}
        with connection.transaction(force_rollback=True):
            row = connection.execute(
                "SELECT * FROM teller.begin_request(%s, %s, %s, '1 ms')",
                (desk.scope, ticket.key, Jsonb(body))).fetchone()
        if (row["state"], row["response"]) != expected \
                or row["fresh"] != (expected[0] == "started"):
            yield ticket.key, row, expected


def print_figures(works, log, met, seconds):
    made = sum(len(effects) for effects in log.values())
    for name, value in (("transactions", len(works)), ("effects", made),
                        ("seconds", round(seconds, 1)),
                        ("transactions per second", round(len(works) / seconds))):
        print("figure %s = %s" % (name, value))
    print("rows: " + ", ".join("%s %d" % pair for pair in sorted(met.items())))


def everything(connection, desk, actors, companions, seconds, options):
    """All claims; the number of those that failed."""
    claims = Claims()
    works = [work for actor in actors for work in actor.log]
    log = read_log(connection)
    replay = Replay(log)
    tickets = Tickets(log, actors)
    met = mix_of(works, actors, log, tickets, companions)
    print_figures(works, log, met, seconds)

    claims.none([one.crash for one in [*actors, *companions] if one.crash],
                "nobody met what he did not expect")
    claims.none([w for actor in actors for w in actor.warnings],
                "no warning from the server")
    claim_log(claims, works, log)
    claim_stories(claims, replay, companions[0])
    claim_tables(claims, connection, replay)
    claim_refusals(claims, replay, actors)
    claim_locks(claims, actors)
    claim_requests(claims, connection, desk, tickets, actors)
    claim_errors(claims, works)
    claims.none(connection.execute("SELECT * FROM teller.verify()").fetchall(),
                "verify() finds nothing in the end")
    if options.calls >= ENOUGH_CALLS and options.disturb_ms > 0:
        claims.none([what for what in MUST_MEET if not met[what]],
                    "the run met every kind of call, refusal and disturbance")
    return claims.end()
