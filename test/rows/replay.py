"""The model: what the log says happened to each row, replayed in its order."""

import collections
import decimal
import re

from table import TABLES, State


def number(value):
    return None if value is None else decimal.Decimal(value)


def state_of(after):
    return None if after is None else State(number(after[0]), *after[1:])


class Story:
    """
    The history of one row.  states: what it was after each seq; committed: the
    seqs at which others could see it, the last ones of their transactions.
    """

    def __init__(self, table, row):
        self.table = table
        self.row = row
        self.effects = []  # (seq, tx, effect)
        self.sights = []
        self.states = {}
        self.committed = []

    def add(self, tx, effect):
        entry = (effect["seq"], tx, effect)
        (self.sights if effect["do"] == "see" else self.effects).append(entry)

    def name(self, seq, tx, effect):
        return "%s %s #%s by %s: %s %s -> %s, then %s" % (
            self.table.short, self.row, seq, tx, effect["do"],
            effect.get("args"), effect.get("answer"), effect["after"])


class Replay:
    """All stories, and what is wrong with them, by the sort of wrong."""

    def __init__(self, log):
        self.stories = {}
        for table in TABLES.values():
            for row in [*table.ids, table.missing]:
                self.stories[table.short, row] = Story(table, row)
        for tx, effects in log.items():
            for effect in effects:
                if "row" in effect:
                    self.stories[effect["table"], effect["row"]].add(tx, effect)
        self.wrong = collections.defaultdict(list)
        for story in self.stories.values():
            self.follow(story)

    # ---- one row ----------------------------------------------------------

    def follow(self, story):
        state = None
        if story.row != story.table.missing:
            state = State(number(story.table.opening), 0, None)
        story.states[0] = state
        story.committed = [0]
        story.effects.sort(key=lambda entry: entry[0])
        for place, (seq, tx, effect) in enumerate(story.effects, 1):
            if seq != place:
                self.wrong["order"].append(story.name(seq, tx, effect))
            state = self.step(story, state, seq, tx, effect)
            story.states[seq] = state
            if story.committed[-1] and story.effects[place - 2][1] == tx:
                story.committed.pop()
            story.committed.append(seq)
        for seq, tx, effect in story.sights:
            if seq not in story.states \
                    or story.states[seq] != state_of(effect["after"]):
                self.wrong["sight"].append(story.name(seq, tx, effect))

    def step(self, story, state, seq, tx, effect):
        """The state after an effect, by the model's own rules."""
        table, args, do = story.table, effect["args"], effect["do"]
        name = story.name(seq, tx, effect)
        if (state is None) != (do == "insert"):
            self.wrong["answer"].append(name)
            return state_of(effect["after"])
        if do == "delete":
            after = None
        elif do == "insert":
            after = State(number(table.opening), seq, None)
        else:
            after = self.change(story, state, effect, name)
            expected = {"debit": after.balance, "credit": after.balance,
                        "update": after.version}.get(do)
            if number(effect["answer"]) != expected:
                self.wrong["answer"].append("%s, but was %s" % (name, state))
        told = state_of(effect["after"])
        if told != after:
            sort = "version" if told and after and told._replace(
                version=after.version) == after else "answer"
            self.wrong[sort].append("%s, not %s" % (name, after))
        # What is there, so that one fault is told once.
        return told

    def change(self, story, state, effect, name):
        args, do = effect["args"], effect["do"]
        balance, mark, version = state.balance, state.mark, state.version
        if do == "debit":
            balance -= number(args["amount"])
            if balance < number(args["floor"]):
                self.wrong["bound"].append("%s, but was %s" % (name, state))
        elif do == "credit":
            balance += number(args["amount"])
            if args["ceiling"] is not None and balance > number(args["ceiling"]):
                self.wrong["bound"].append("%s, but was %s" % (name, state))
        else:
            if number(args.get("read", state.balance)) != state.balance \
                    or args.get("expected", version) != version:
                self.wrong["lost"].append("%s, but was %s" % (name, state))
            balance = number(args.get("balance", balance))
            mark = args.get("mark", mark)
        if story.table.guarded or do == "update":
            version += 1
        return State(balance, version, mark)

    # ---- refusals ---------------------------------------------------------

    def just(self, refusal):
        """Was there a moment during the call at which it was right to refuse?"""
        return any(justifies(refusal, state) for state in self.seen_by(refusal))

    def seen_by(self, refusal):
        """
        What the row was, from the start of the call to its end.  A call that
        was seen waiting must look again after the wait.  Above READ COMMITTED
        a transaction sees one state; a row of its own nobody else can change.
        """
        step = refusal.step
        if step.own or refusal.level != "READ COMMITTED":
            return [step.before.state]
        story = self.stories[step.table.short, step.row]
        return [story.states[seq] for seq in story.committed
                if step.since <= seq <= refusal.after.seq]


def justifies(refusal, state):
    """The row in this state, and the numbers that the refusal told."""
    args, code = refusal.step.args, refusal.code
    if code == "TL009" or state is None:
        return code == "TL009" and state is None
    if code == "TL002":
        told = re.search(r"version is (-?\d+)", refusal.said)
        return (args["expected"] != state.version and told is not None
                and int(told.group(1)) == state.version)
    told = re.search(r"holds (-?[0-9.]+),", refusal.said)
    if told is None or number(told.group(1)) != state.balance:
        return False
    if code == "TL001":
        return state.balance - args["amount"] < args["floor"]
    return code == "TL004" and state.balance + args["amount"] > args["ceiling"]
