"""The model of requests: who began them, who answered, who was sent away."""

import collections


class Ticket:
    """What is known of one key.  Times are those of calls that committed."""

    def __init__(self, key):
        self.key = key
        self.fresh = []  # effects that committed, in their order, with their tx
        self.finished = []  # (tx, effect) that committed
        self.asked = []  # (work, effect) of everybody, committed or not

    def body(self):
        return self.fresh[0]["body"] if self.fresh else None

    def response(self):
        return self.finished[0][1]["response"] if self.finished else None


def right_lease(effect):
    """It runs from a moment during the call; there is none unless asked for."""
    if effect["lease_ms"] is None:
        return effect["until"] is None
    start = effect["until"] - effect["lease_ms"] / 1000
    return effect["t0"] - 0.0001 <= start <= effect["t1"] + 0.0001


def holds(fresh, tx, finish):
    """Is it this holder who finishes: by his token, or where he began it?"""
    return fresh["t1"] <= finish["t0"] and (
        fresh["token"] == finish["token"]
        or (fresh["tx"] == tx and finish["token"] is None))


class Tickets:
    """All keys, and what is wrong with them, by the sort of wrong."""

    def __init__(self, log, actors):
        self.by_key = {}
        self.met = collections.Counter()
        self.wrong = collections.defaultdict(list)
        for actor in actors:
            for work, effect in actor.asks:
                self.ticket(effect["key"]).asked.append((work, effect))
        for tx, effects in log.items():
            for effect in effects:
                if effect["do"] == "finish":
                    self.ticket(effect["key"]).finished.append((tx, effect))
                elif effect["do"] == "ask" and effect["fresh"]:
                    self.ticket(effect["key"]).fresh.append(dict(effect, tx=tx))
        for ticket in self.by_key.values():
            ticket.fresh.sort(key=lambda effect: effect["t1"])
            self.judge(ticket)

    def ticket(self, key):
        return self.by_key.setdefault(key, Ticket(key))

    # ---- one key ----------------------------------------------------------

    def judge(self, ticket):
        if len(ticket.finished) > 1:
            self.wrong["once"].append((ticket.key, ticket.finished))
        for tx, effect in ticket.finished:
            if not ticket.fresh or not holds(ticket.fresh[-1], tx, effect):
                self.wrong["once"].append((ticket.key, "not finished by who"
                                           " began it last", ticket.fresh, tx, effect))
        if len({str(effect["body"]) for effect in ticket.fresh}) > 1:
            self.wrong["mismatch"].append((ticket.key, ticket.fresh))
        for before, after in zip(ticket.fresh, ticket.fresh[1:]):
            self.judge_overtaking(ticket, before, after)
        for work, effect in ticket.asked:
            if effect["do"] == "finish":
                self.judge_late(ticket, work, effect)
            else:
                self.judge_ask(ticket, work, effect)

    def judge_overtaking(self, ticket, before, after):
        """Only of a lease, only when it ran out, and with another token."""
        self.met["overtaken"] += 1
        if before["until"] is None or before["token"] == after["token"] \
                or after["t1"] < before["until"]:
            self.wrong["once"].append((ticket.key, before, after))

    def judge_ask(self, ticket, work, effect):
        if effect["error"] is not None:
            if effect["error"] == "TL003" and not effect["own"] \
                    and effect["body"] == ticket.body():
                self.wrong["mismatch"].append((work.name, effect))
            return
        self.met[effect["state"]] += 1
        if effect["fresh"] != (effect["state"] == "started"):
            self.wrong["once"].append((work.name, effect))
        if effect["fresh"] and "until" in effect and not right_lease(effect):
            self.wrong["lease"].append((work.name, effect))
        if effect["fresh"] or effect["own"]:
            return
        if effect["body"] != ticket.body():
            self.wrong["mismatch"].append((work.name, effect))
        if effect["state"] == "finished" \
                and effect["response"] != ticket.response():
            self.wrong["answer"].append((work.name, effect, ticket.response()))
        if effect["state"] == "in_progress" and not any(
                one["until"] is not None and one["t0"] <= effect["t1"]
                and effect["t0"] <= one["until"] for one in ticket.fresh):
            self.wrong["lease"].append((work.name, effect, ticket.fresh))

    def judge_late(self, ticket, work, effect):
        """A finish is refused only to who was overtaken."""
        if effect["error"] != "55000":
            return
        self.met["late"] += 1
        if not any(one["token"] != effect["token"] for one in ticket.fresh) \
                and not ticket.finished:
            self.wrong["lease"].append((work.name, effect, ticket.fresh))

    # ---- the table --------------------------------------------------------

    def expected(self, ticket, now):
        """What begin_request says in the end, and with which response."""
        if ticket.finished:
            return "finished", ticket.response()
        if ticket.fresh:
            last = ticket.fresh[-1]
            # The long leases run, the short ones have run out.
            if (last["until"] or 0) > now:
                return "in_progress", None
        return "started", None
