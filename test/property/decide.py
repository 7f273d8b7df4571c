"""The functions one by one: what each must do, in terms of calls.py.

Each decide_* gets the book, the view (a draft: what it writes counts only if
the server's answer is the expected one) and the call, and returns the row or
rows of the answer, or raises Refused or Denied.
"""

import dataclasses
import functools
import re

from book import BOUND, Account, Batch, Hold, Key, Use, money
from calls import (
    SKIP, Deadline, Denied, Id, Move, Outcome, Refused, account_of, amount_of,
    batch_row, canonical, check_range, collect, denied_row, hold_row, known,
    move_denials, movement_row, two_sides)
from locks import KEYED, asked_limits, hold_accounts, is_used, net_of, net_of_post

WORDS = {"on_denial": ("raise", "return", "record"), "mode": ("atomic", "independent"),
         "by": ("recorded", "effective")}
LABEL_BYTES = 255
NOW = "2026"  # the moments that the tests ask for are decades before and after


# ---- what any call may have wrong ------------------------------------------


def common_faults(call):
    """Codes for arguments that mean nothing whatever the books say."""
    wrong = set()
    keys = [call.key] + list(call.get("keys") or ())
    for key in keys:
        if key is not None and (not 1 <= len(key.encode()) <= LABEL_BYTES
                                or re.search(r"[\x00-\x1f\x7f]", key)):
            wrong.add("22023")
    for name, words in WORDS.items():
        if name in call.arguments and call.get(name) not in words:
            wrong.add("22004" if call.get(name) is None else "22023")
    versions = [call.get("expected_version")] + list(call.get("expected_versions") or ())
    if any(v is not None and v < 0 for v in versions):
        wrong.add("22023")
    metadata = call.get("metadata")
    if isinstance(metadata, str):
        if metadata[0] not in "{[":
            wrong.add("22023")
        elif len(metadata) > 65536 or metadata.startswith("[" * 65):
            wrong.add("54000")
    if call.get("on_denial") == "record" and call.key is None:
        wrong.add("22023")
    if call.get("effective_at") == "infinity":
        wrong.add("22023")
    if "ledger" in call.arguments:
        wrong.add("22004" if call.get("ledger") is None else "TL009")
    return wrong


def no_version(call, sides):
    """A hot account has none that one could expect."""
    hot = sides and sides[0].hot and call.get("expected_version") is not None
    return {"22023"} if hot else set()


# ---- movements -------------------------------------------------------------


def decide_transfer(book, view, call):
    wrong, sides = two_sides(view, call.arguments)
    scale = sides[0].scale if len(sides) == 2 else 2
    amount = collect(wrong, amount_of, call.get("amount"), scale)
    after = {}
    for name in ("min_after", "max_after"):
        if call.get(name) is not None:
            after[name] = collect(wrong, amount_of, call.get(name), scale, None)
    wrong |= no_version(call, sides)
    if wrong:
        raise Refused(*wrong)
    debit, credit = sides
    codes = move_denials(view, debit, credit, amount)
    left = view.available(debit) - amount
    if call.get("expected_version") not in (None, debit.version):
        codes.add("TL002")
    if "min_after" in after and left < after["min_after"]:
        codes.add("TL001")
    if "max_after" in after and left > after["max_after"]:
        codes.add("TL004")
    if codes:
        raise Denied(codes)
    return [move(book, view, "transfer", debit, credit, amount, call)]


def move(book, view, kind, debit, credit, amount, call):
    row = Move(kind, debit.id, credit.id, amount, call.get("metadata"),
               call.get("effective_at")).write(book, view, amount)
    check_range(view, debit.id, credit.id)
    return movement_row(view, row, debit.id, credit.id, amount)


def decide_transfer_up_to(book, view, call):
    wrong, sides = two_sides(view, call.arguments)
    scale = sides[0].scale if len(sides) == 2 else 2
    most = collect(wrong, amount_of, call.get("max_amount"), scale)
    least = 0
    if "min_amount" in call.arguments:
        least = collect(wrong, amount_of, call.get("min_amount"), scale, 0)
    if None not in (most, least) and least > most:
        wrong.add("22023")
    if wrong:
        raise Refused(*wrong)
    debit, credit = sides
    gives, takes = view.can_give(debit), view.can_take(credit)
    amount = min(x for x in (most, gives, takes) if x is not None)
    least = max(least, 1)
    codes = set()
    if amount < least:
        codes |= {"TL001"} if gives is not None and gives < least else set()
        codes |= {"TL004"} if takes is not None and takes < least else set()
        raise Denied(codes)
    return [move(book, view, "transfer", debit, credit, amount, call)]


def reversal_of(view, row, given):
    """The units that a reversal of this row takes back."""
    if row.kind not in ("transfer", "capture"):
        raise Refused("55000")
    scale = view.get("account", row.debit).scale
    amount = row.rest if given is None else amount_of(given, scale)
    if amount > row.rest or amount == 0:
        raise Refused("22023")
    return amount


def decide_reverse(book, view, call):
    if call.get("id") is None:
        raise Refused("22004")
    row = view.get("row", call.get("id"))
    if row is None:
        raise Refused("TL009")
    amount = reversal_of(view, row, call.get("amount"))
    debit, credit = view.get("account", row.credit), view.get("account", row.debit)
    codes = move_denials(view, debit, credit, amount)
    if codes:
        raise Denied(codes)
    view.change("row", row.id, reversed=row.reversed + amount)
    return [move(book, view, "reversal", debit, credit, amount, call)]


# ---- batches ---------------------------------------------------------------


def net_denials(before, net):
    """The limits hold for what each account loses or gains in all."""
    codes = set()
    for name, gained in net.items():
        was = before.get("account", name)
        if gained < 0 and was.least is not None and -gained > before.can_give(was):
            codes.add("TL001")
        if gained > 0 and was.most is not None and gained > before.can_take(was):
            codes.add("TL004")
    return codes


def all_or_nothing(before, net, moves):
    """The rows of the moves, if what they are in all is allowed.  If that is
    not so, and a balance gets too large too, either may be told."""
    codes = net_denials(before, net)
    try:
        rows = [one() for one in moves]
    except Refused as refused:
        raise Refused(*refused.codes | codes) from None
    if codes:
        raise Denied(codes)
    return rows


def items_of(call):
    """The transfers that a post describes; Refused if they cannot be told."""
    columns = {"debit_account": call.get("debit_accounts"),
               "credit_account": call.get("credit_accounts"),
               "amount": call.get("amounts")}
    if any(column is None for column in columns.values()):
        raise Refused("22004")
    count = len(columns["amount"])
    for name in ("keys", "metadata", "expected_versions"):
        if call.get(name) is not None:
            columns[name] = call.get(name)
    if any(len(column) != count for column in columns.values()):
        raise Refused("22023")
    if call.key is not None and (call.get("keys") is not None
                                 or call.get("mode") == "independent"):
        raise Refused("22023")
    columns["expected_version"] = columns.pop("expected_versions", [None] * count)
    columns["key"] = columns.pop("keys", [None] * count)
    items = []
    for number in range(count):
        arguments = {name: column[number] for name, column in columns.items()
                     if column[number] is not None or name in (
                         "debit_account", "credit_account", "amount")}
        if call.get("effective_at") is not None:
            arguments["effective_at"] = call.get("effective_at")
        items.append(dataclasses.replace(call, function="transfer", arguments=arguments))
    return items


def item_faults(view, items):
    wrong = set()
    for item in items:
        stored = known(view, item.key)
        if stored is not None:
            if stored.arguments != canonical("transfer", item.arguments) or (
                    stored.function != "transfer"):
                wrong.add("TL003")
            continue
        faults, sides = two_sides(view, item.arguments)
        scale = sides[0].scale if len(sides) == 2 else 2
        collect(faults, amount_of, item.get("amount"), scale)
        wrong |= faults | common_faults(item)
        if no_version(item, sides):
            wrong |= {"22023", "TL002"}  # this one, or an item before it
    return wrong


def is_denied(stored):
    """A refusal that was recorded: it cannot be part of all or nothing."""
    return stored is not None and stored.answer[0]["status"] == "denied"


def same_twice(items):
    """TL003 for a key that stands in one batch for two different transfers."""
    first = {}
    for item in items:
        if item.key is not None:
            arguments = canonical("transfer", item.arguments)
            if first.setdefault(item.key, arguments) != arguments:
                return {"TL003"}
    return set()


def decide_post(book, view, call):
    items = items_of(call)
    wrong = item_faults(view, items) | same_twice(items)
    atomic = call.get("mode") != "independent"
    if atomic and any(is_denied(known(view, item.key)) for item in items):
        wrong |= {"TL001", "TL002", "TL004"}  # as it was denied, or as it is
    if wrong:
        raise Refused(*wrong)
    before = view.below()
    batch = book.make_id("b")
    rows = all_or_nothing(before, net_of_post(before, call) if atomic else {}, [
        functools.partial(post_item, book, view, item, before if atomic else None)
        for item in items])
    made = [str(row["id"]) for row in rows
            if row["status"] == "posted" and not row["replayed"]]
    rows = [{"ordinal": number, "batch_id": SKIP if row["replayed"] else Id(batch), **row}
            for number, row in enumerate(rows, 1)]
    check_range(view, *{n for i in items for n in (
        i.get("debit_account"), i.get("credit_account"))})
    if made:
        view.put("batch", Batch(batch, tuple(made)))
    return rows


def post_item(book, view, item, before):
    """before: the state before an atomic batch; None in independent mode."""
    stored = known(view, item.key)
    if stored is not None:
        return {**stored.answer[0], "replayed": True}
    debit = view.get("account", item.get("debit_account"))
    credit = view.get("account", item.get("credit_account"))
    amount = amount_of(item.get("amount"), debit.scale)
    codes = set()
    was = debit if before is None else before.get("account", debit.id)
    if item.get("expected_version") not in (None, was.version):
        codes.add("TL002")
    if before is None:
        codes |= move_denials(view, debit, credit, amount)
        if codes:
            return denied_row("transfer", codes)
    elif codes:
        raise Denied(codes)
    row = batch_row(view, move(book, view, "transfer", debit, credit, amount, item),
                    debit.id, credit.id)
    if item.key is not None:
        view.put("key", Key(item.key, "transfer", canonical("transfer", item.arguments),
                            [row]))
    return row


def decide_transfer_from(book, view, call):
    """Each gives what it can, in the order given, until the amount is there."""
    debits, wrong = call.get("debit_accounts"), set()
    if debits is None:
        raise Refused("22004")
    if len(set(debits)) != len(debits) or not debits:
        wrong.add("22023")
    for debit in debits or [None]:
        wrong |= two_sides(view, {**call.arguments, "debit_account": debit})[0]
    credit = view.get("account", call.get("credit_account"))
    amount = collect(wrong, amount_of, call.get("amount"), credit.scale if credit else 2)
    if wrong:
        raise Refused(*wrong)
    parts, rest = [], amount
    for debit in (view.get("account", number) for number in debits):
        gives = view.can_give(debit)
        part = rest if gives is None else min(rest, max(gives, 0))
        if part:
            parts.append((debit, part))
        rest -= part
    takes = view.can_take(credit)
    if rest:
        raise Denied({"TL001"})
    if takes is not None and takes < amount:
        raise Denied({"TL004"})
    name = book.make_id("b")
    rows = [{"ordinal": number, "batch_id": Id(name),
             **batch_row(view, move(book, view, "transfer", debit, credit, part, call),
                         debit.id, credit.id)}
            for number, (debit, part) in enumerate(parts, 1)]
    view.put("batch", Batch(name, tuple(str(row["id"]) for row in rows)))
    return rows


def decide_reverse_batch(book, view, call):
    if call.get("batch_id") is None:
        raise Refused("22004")
    batch = view.get("batch", call.get("batch_id"))
    if batch is None:
        raise Refused("TL009")
    undo = [view.get("row", name) for name in batch.rows]
    if any(row.kind not in ("transfer", "capture") for row in undo):
        raise Refused("55000")
    undo = [row for row in undo if row.rest]
    if not undo:
        raise Refused("22023")
    name = book.make_id("b")
    rows = all_or_nothing(
        view.below(), net_of((row.credit, row.debit, row.rest) for row in undo),
        [functools.partial(reverse_row, book, view, row, call) for row in undo])
    view.put("batch", Batch(name, tuple(str(row["id"]) for row in rows)))
    return [{"ordinal": number, "batch_id": Id(name), **row}
            for number, row in enumerate(rows, 1)]


def reverse_row(book, view, row, call):
    debit, credit = view.get("account", row.credit), view.get("account", row.debit)
    answer = move(book, view, "reversal", debit, credit, row.rest, call)
    view.change("row", row.id, reversed=row.amount)
    return batch_row(view, answer, debit.id, credit.id)


# ---- holds -----------------------------------------------------------------


def ttl_seconds(given):
    """An interval as the tests write it: '3 hours', '1 microsecond'."""
    if given is None:
        return None
    number, unit = given.split()
    seconds = float(number) * {"hours": 3600, "microsecond": 1e-6,
                               "years": 366 * 86400}[unit]
    if not 0 < seconds <= 100 * 366 * 86400:
        raise Refused("22023")
    return seconds


def decide_hold(book, view, call):
    wrong, sides = two_sides(view, call.arguments)
    scale = sides[0].scale if len(sides) == 2 else 2
    amount = collect(wrong, amount_of, call.get("amount"), scale)
    seconds = collect(wrong, ttl_seconds, call.get("ttl"))
    wrong |= no_version(call, sides)
    if wrong:
        raise Refused(*wrong)
    debit, credit = sides
    codes = move_denials(view, debit, credit, amount)
    if call.get("expected_version") not in (None, debit.version):
        codes.add("TL002")
    if codes:
        raise Denied(codes)
    name = book.make_id("h")
    view.put("hold", Hold(name, debit.id, credit.id, amount, False))
    Move("hold", debit.id, credit.id, amount, call.get("metadata"),
         hold=name).write(book, view, 0, amount)
    check_range(view, debit.id, credit.id)
    row = hold_row(view, name, Deadline(seconds or 7 * 86400))
    view.change("hold", name, due=seconds is not None and seconds < 1)
    return [row]


def open_hold(view, call):
    if call.get("hold") is None:
        raise Refused("22004")
    hold = view.get("hold", call.get("hold"))
    if hold is None:
        raise Refused("TL009")
    return hold


def claim(view, hold):
    """Who takes from a hold, or makes it last longer, found it not to be due."""
    for number in hold_accounts(view, hold.debit, hold.credit):
        if view.get("account", number).hot:
            view.layers[-1].uses.append(Use(
                number, "debit" if number == hold.debit else "credit", claims=1))


def end_hold(book, view, hold, kind, state):
    """What remains goes back; the hold's last row."""
    Move(kind, hold.debit, hold.credit, hold.rest, hold=hold.id).write(
        book, view, 0, -hold.rest)
    view.change("hold", hold.id, released=hold.released + hold.rest, state=state)


def decide_capture(book, view, call):
    hold = open_hold(view, call)
    scale = view.get("account", hold.debit).scale
    amount = hold.rest
    if call.get("amount") is not None:
        amount = amount_of(call.get("amount"), scale)
    if not hold.binds:
        raise Denied({"TL006"})
    if amount > hold.rest:
        raise Refused("22023")
    claim(view, hold)
    view.change("hold", hold.id, captured=hold.captured + amount)
    row = Move("capture", hold.debit, hold.credit, amount, hold=hold.id).write(
        book, view, amount, -amount)
    check_range(view, hold.debit, hold.credit)
    hold = view.get("hold", hold.id)
    if hold.rest == 0:
        view.change("hold", hold.id, state="captured")
    elif call.get("final") != "false":
        end_hold(book, view, hold, "release", "captured")
    return [movement_row(view, row, hold.debit, hold.credit, amount)]


def decide_release(book, view, call):
    hold = open_hold(view, call)
    if not hold.binds:
        raise Refused("TL006")
    end_hold(book, view, hold, "release", "released")
    return [hold_row(view, hold.id, SKIP)]


def decide_extend_hold(book, view, call):
    wrong = set()
    if call.get("ttl") is None:
        wrong.add("22004")
    seconds = collect(wrong, ttl_seconds, call.get("ttl"))
    hold = collect(wrong, open_hold, view, call)
    if wrong:
        raise Refused(*wrong)
    if not hold.binds:
        raise Refused("TL006")
    if book.seconds_until(hold.expires_at) >= seconds:
        raise Refused("22023")
    claim(view, hold)
    Move("extend", hold.debit, hold.credit, None, hold=hold.id).write(book, view, 0, 0)
    return [hold_row(view, hold.id, Deadline(seconds))]


def decide_adjust_hold(book, view, call):
    hold = open_hold(view, call)
    debit = view.get("account", hold.debit)
    credit = view.get("account", hold.credit)
    amount = amount_of(call.get("amount"), debit.scale)
    if not hold.binds:
        raise Denied({"TL006"})
    if amount < hold.captured + hold.released:
        raise Refused("22023")
    more = amount - hold.amount
    codes = move_denials(view, debit, credit, more) if more > 0 else set()
    if codes:
        raise Denied(codes)
    if more:
        view.change("hold", hold.id, amount=amount)
        Move("adjust", hold.debit, hold.credit, None, hold=hold.id).write(
            book, view, 0, more)
        check_range(view, hold.debit, hold.credit)
    if view.get("hold", hold.id).rest == 0:
        view.change("hold", hold.id, state="captured")
    return [hold_row(view, hold.id, SKIP)]


def decide_expire_due(book, view, call):
    many = call.get("max_holds")
    if many is not None and not 1 <= many <= 1000000:
        raise Refused("22023")
    due = [h for h in view.all("hold") if h.state == "open" and h.due]
    for hold in sorted(due, key=lambda h: int(h.id[1:])):
        end_hold(book, view, hold, "expire", "expired")
    return [{"expire_due": len(due)}]


# ---- accounts --------------------------------------------------------------


def decide_open_account(book, view, call):
    wrong = set()
    scale = book.assets.get(call.get("asset"))
    if scale is None:
        wrong.add("22004" if call.get("asset") is None else "TL009")
    limits = []
    for name, default in (("min_balance", "0"), ("max_balance", None)):
        given = call.arguments.get(name, default)
        limits.append(None if given is None else collect(
            wrong, amount_of, given, scale or 0, None))
    if None not in limits and limits[0] > limits[1]:
        wrong.add("22023")
    name = call.get("name")
    if name is not None and (not 1 <= len(name.encode()) <= LABEL_BYTES
                             or re.search(r"[\x00-\x1f\x7f]", name)):
        wrong.add("22023")
    number = call.get("account")
    named = next((a for a in view.all("account") if name and a.name == name), None)
    if number is None and name is None:
        wrong.add("22004")
    if wrong:
        raise Refused(*wrong)
    there = view.get("account", number) if number is not None else named
    hot = call.get("hot") == "true"
    asked = (call.get("asset"), name, *limits, hot)
    if there is not None:
        if (there.asset, there.name, there.least, there.most, there.hot) != asked:
            raise Refused("TL003")
        return [{"open_account": there.id}]
    if named is not None:
        raise Refused("TL003")
    view.put("account", Account(number, asked[0], scale, name, *limits, hot=hot,
                                mixed=hot))
    return [{"open_account": number}]


def decide_set_limits(book, view, call):
    """A limit that the account is in breach of has to be forced on it."""
    account = account_of(view, call.get("account"))
    least, most = asked_limits(account, call)
    if None not in (least, most) and least > most:
        raise Refused("22023")
    if (least, most) == (account.least, account.most):
        return [{}]
    if account.hot and is_used(view, account.id):
        raise Refused("55000")
    view.change("account", account.id, least=least, most=most)
    account = view.get("account", account.id)
    room = [units for units in (view.can_give(account), view.can_take(account))
            if units is not None]
    if min(room, default=0) < 0 and call.get("force") != "true":
        raise Denied({"55000"})
    return [{}]


# ---- reading ---------------------------------------------------------------


def decide_balance(book, view, call):
    account = account_of(view, call.get("account"))
    held, awaited = view.held(account), view.awaited(account)
    return [{
        "posted": money(account.posted, account.scale),
        "pending_debit": money(held, account.scale),
        "pending_credit": money(awaited, account.scale),
        "available": money(account.posted - held, account.scale),
        "version": account.told_version,
    }]


def posting_row(book, account, version, posting):
    return {
        "ledger_id": book.ledger, "account_id": account.id, "version": version,
        "journal_id": Id(posting.row), "kind": posting.kind, "side": posting.side,
        "amount": SKIP if posting.amount is None else money(posting.amount, account.scale),
        "posted": money(posting.posted, account.scale),
        "pending": money(posting.pending, account.scale),
        "other_account": posting.other,
        "hold_id": None if posting.hold is None else Id(posting.hold),
        "effective_at": posting.effective or SKIP, "recorded_at": SKIP,
        "metadata": SKIP if posting.kind in ("extend", "adjust") else posting.metadata,
    }


def decide_statement(book, view, call):
    wrong = set()
    after = call.arguments.get("after_version", 0)
    many = call.arguments.get("max_rows", 1000)
    if after < 0 or not 1 <= many <= 10000:
        wrong.add("22023")
    account = collect(wrong, account_of, view, call.get("account"))
    if wrong:
        raise Refused(*wrong)
    page = account.postings[after:after + many]
    return [posting_row(book, account, number, posting)
            for number, posting in enumerate(page, after + 1)]


def decide_balance_at(book, view, call):
    wrong = set()
    account = collect(wrong, account_of, view, call.get("account"))
    if call.get("at") is None:
        wrong.add("22004")
    if wrong:
        raise Refused(*wrong)
    units = 0
    for posting in account.postings:
        moved = posting.amount if posting.kind in (
            "transfer", "capture", "reversal") else 0
        effective = posting.effective or NOW
        moment = effective if call.get("by") == "effective" else NOW
        if moment <= call.get("at"):
            units += moved if posting.side == "credit" else -moved
    if abs(units) >= BOUND:
        raise Refused("22003")
    return [{"balance_at": money(units, account.scale)}]


def decide_find(book, view, call):
    if call.key is None:
        raise Refused("22004")
    stored = known(view, call.key)
    if stored is None:
        return []
    first = stored.answer[0]
    return [{
        "function": stored.function,
        "id": SKIP if stored.function in ("post", "transfer_from", "reverse_batch") else first["id"],
        "status": first["status"] if len(stored.answer) == 1 else SKIP,
        "reason": first["reason"] if len(stored.answer) == 1 else SKIP,
        "result": SKIP, "created_at": SKIP,
    }]


# ---- a call as a whole -----------------------------------------------------

DECIDE = {name[len("decide_"):]: function for name, function in globals().items()
          if name.startswith("decide_")}


def evaluate(book, view, call):
    """What the call must answer, given what this view shows."""
    wrong = common_faults(call)
    stored = known(view, call.key) if call.function in KEYED else None
    if stored is not None:
        if (stored.function, stored.arguments) == (
                call.function, canonical(call.function, call.arguments)):
            return Outcome(rows=[{**row, "replayed": True} for row in stored.answer])
        wrong.add("TL003")
    draft = view.draft()
    try:
        rows = DECIDE[call.function](book, draft, call)
    except Refused as refused:
        return Outcome(frozenset(wrong | refused.codes), early=True)
    except Denied as denied:
        if wrong:
            return Outcome(frozenset(wrong | denied.codes), early=True)
        return denial(view, call, denied.codes)
    if wrong:
        return Outcome(frozenset(wrong), early=True)
    return Outcome(rows=rows, done=lambda got: keep(view, draft, call, rows, got))


def denial(view, call, codes):
    otherwise = "return" if call.function == "transfer_up_to" else "raise"
    on_denial = call.arguments.get("on_denial", otherwise)
    if on_denial == "raise":
        return Outcome(frozenset(codes))
    row = denied_row(call.function, codes)
    if call.function == "transfer_up_to":
        debit = view.get("account", call.get("debit_account"))
        row["amount"] = money(0, debit.scale)

    def store(got):
        if on_denial == "record":
            view.put("key", Key(call.key, call.function,
                                canonical(call.function, call.arguments), got))
    return Outcome(rows=[row], done=store)


def keep(view, draft, call, rows, got):
    """The call's effect is in the session's view from here on."""
    if rows and isinstance(rows[0].get("expires_at"), Deadline):
        draft.change("hold", str(rows[0]["id"]), expires_at=got[0]["expires_at"])
    # An empty batch leaves nothing, and its key free.
    if call.function in KEYED and call.key is not None and rows:
        draft.put("key", Key(call.key, call.function,
                             canonical(call.function, call.arguments), got))
    draft.layers[-1].end_call()
    view.layers[-1].absorb(draft.layers[-1])
