"""What a call locks, and what of a hot account it has to wait for.

A normal account is locked as a row.  A hot one is shared; the calls that go by
its exact balance have it alone, and so has set_limits, which locks the row too.  Of a hot account that is shared, a call may
also have to wait for a transaction in flight: if what the others have not
committed yet decides whether there is enough.
"""

from calls import amount_of, known

ALONE = ("transfer_up_to", "transfer_from", "reverse", "reverse_batch")
KEYED = ("transfer", "transfer_up_to", "transfer_from", "post", "reverse", "reverse_batch", "hold",
         "capture", "release", "extend_hold", "adjust_hold")


def wants(view, call):
    """The names that the call locks, in the order in which it waits for them."""
    if call.function == "set_limits":
        return limit_locks(view, call)
    keys = [key for key in [call.key] + list(call.get("keys") or ())
            if key is not None and known(view, key) is None]
    if call.function not in KEYED:
        keys = []
    elif call.key is not None and not keys:
        return []
    return ([("key", key) for key in sorted(set(keys))]
            + [name for n in sorted(set(touched(view, call)))
               for name in account_locks(view, call, n)]
            + [("hold", name) for name in sorted(holds_of(view, call))])


def is_alone(call):
    """It goes by the balance that is there once all others have ended."""
    if call.function == "transfer":
        return call.get("min_after") is not None or call.get("max_after") is not None
    return call.function in ALONE or (
        call.function == "post" and call.get("mode") == "independent")


def account_locks(view, call, number):
    """Who has a hot account alone uses it too, which set_limits does not."""
    account = view.get("account", number)
    if account is None or not account.hot:
        return [("account", number)]
    return [("alone", number), ("used", number)] if is_alone(call) else [("shared", number)]


def is_used(view, number):
    """The transaction has used this hot account."""
    return any(layer.locks & {("shared", number), ("used", number)}
               for layer in view.layers)


def asked_limits(account, call):
    """The limits that set_limits is asked for, in units; or Refused."""
    return tuple(None if call.get(name) is None
                 else amount_of(call.get(name), account.scale, None)
                 for name in ("min_balance", "max_balance"))


def limit_locks(view, call):
    """The right to change the account, and if it is changed its row; of a hot
    account, then, all of it."""
    number = call.get("account")
    account = view.get("account", number)
    if account is None:
        return []
    names = [("limits", number)]
    if asked_limits(account, call) != (account.least, account.most):
        names += [("account", number)] + [("alone", number)] * account.hot
    return names


def holds_of(view, call):
    """With a hot account it is the hold's own row that lets in one at a time."""
    if call.function == "expire_due":
        return [h.id for h in view.all("hold") if h.state == "open" and h.due]
    if call.function in ("capture", "release", "extend_hold", "adjust_hold"):
        return [hold.id for hold in rows_of(view, call)]
    return []


def touched(view, call):
    """The accounts whose rows the call writes, or may."""
    accounts = []
    if call.function in ("transfer", "transfer_up_to"):
        accounts = [call.get("debit_account"), call.get("credit_account")]
    elif call.function == "transfer_from":
        accounts = list(call.get("debit_accounts") or ()) + [call.get("credit_account")]
    elif call.function == "post":
        for debit, credit, key in zip(
                call.get("debit_accounts") or (), call.get("credit_accounts") or (),
                call.get("keys") or [None] * 10000):
            if key is None or known(view, key) is None:
                accounts += [debit, credit]
    elif call.function == "hold":
        accounts = hold_accounts(view, call.get("debit_account"), call.get("credit_account"))
    elif call.function in ("capture", "reverse", "reverse_batch"):
        for row in rows_of(view, call):
            accounts += [row.debit, row.credit]
    elif call.function in ("release", "extend_hold", "adjust_hold"):
        for hold in rows_of(view, call):
            accounts += hold_accounts(view, hold.debit, hold.credit)
    elif call.function == "expire_due":
        for hold in view.all("hold"):
            if hold.state == "open" and hold.due:
                accounts += hold_accounts(view, hold.debit, hold.credit)
    elif call.function == "open_account":
        number = call.get("account")
        return [] if number is None or view.get("account", number) else [number]
    return [n for n in accounts if n is not None and view.get("account", n)]


def hold_accounts(view, debit, credit):
    """A hold's event touches the credit account only if that has a maximum."""
    other = view.get("account", credit)
    return [debit] if other is None or other.most is None else [debit, credit]


def rows_of(view, call):
    """The journal rows or the hold that the call is about."""
    if call.function == "reverse":
        found = [view.get("row", call.get("id"))]
    elif call.function == "reverse_batch":
        batch = view.get("batch", call.get("batch_id"))
        found = [] if batch is None else [view.get("row", name) for name in batch.rows]
    else:
        found = [view.get("hold", call.get("hold"))]
    return [value for value in found if value is not None]


# ---- what it waits for -----------------------------------------------------


def tests_of(view, call):
    """What the call takes, in the order of its tests: account, side, units."""
    if call.function in ("transfer", "hold"):
        debit, credit = call.get("debit_account"), call.get("credit_account")
        amount = amount_of(call.get("amount"), view.get("account", debit).scale)
    elif call.function == "adjust_hold":
        hold = view.get("hold", call.get("hold"))
        if not hold.binds:
            return []
        debit, credit = hold.debit, hold.credit
        amount = amount_of(call.get("amount"), view.get("account", debit).scale) - hold.amount
    elif call.function == "post":
        return [(n, "debit" if units < 0 else "credit", abs(units))
                for n, units in sorted(net_of_post(view, call).items()) if units]
    else:
        return []
    if amount <= 0:
        return []
    tests = [(debit, "debit", amount)]
    if call.function == "transfer" or credit in hold_accounts(view, debit, credit):
        tests.append((credit, "credit", amount))
    if all(view.get("account", n).hot for n in (debit, credit)):
        tests.sort()
    return tests


def net_of(moves):
    """What each account gains by these moves, in units."""
    net = {}
    for debit, credit, units in moves:
        net[debit] = net.get(debit, 0) - units
        net[credit] = net.get(credit, 0) + units
    return net


def net_of_post(view, call):
    """Of a batch: but for the items that have been done before."""
    moves, done = [], set()
    for debit, credit, amount, key in zip(
            call.get("debit_accounts"), call.get("credit_accounts"),
            call.get("amounts"), call.get("keys") or [None] * 10000):
        if key in done or known(view, key) is not None:
            continue
        if key is not None:
            done.add(key)
        moves.append((debit, credit, amount_of(amount, view.get("account", debit).scale)))
    return net_of(moves)


def is_stale(view, call):
    """A version is compared before anything is taken."""
    debits = call.get("debit_accounts") or [call.get("debit_account")]
    versions = call.get("expected_versions") or [call.get("expected_version")] * len(debits)
    keys = call.get("keys") or [None] * len(debits)
    return any(version not in (None, view.get("account", debit).version)
               for debit, version, key in zip(debits, versions, keys)
               if debit is not None and known(view, key) is None)


def undecided(book, session, call):
    """The sessions that decide by how they end, and the layer whose end that is;
    none if it is decided now."""
    view = book.view(session)
    if is_alone(call) or known(view, call.key) is not None or is_stale(view, call):
        return []
    for number, side, amount in tests_of(view, call):
        account = view.get("account", number)
        if not account.hot:
            room = view.can_give(account) if side == "debit" else view.can_take(account)
            if room is not None and amount > room:
                return []
            continue
        sure, best = sure_and_best(book, session, view.base("account", number), side)
        if sure is None or amount <= sure:
            continue
        if amount > best:
            return []
        return [(s, s.awaited_layer(number)) for s in book.sessions.values()
                if s is not session
                and (s.uses(number, "debit") or s.uses(number, "credit"))]
    return []


def sure_and_best(book, session, account, side):
    """What is there whatever the others do, and what if all goes well."""
    if side == "debit":
        limit, room = account.least, account.posted - account.pending_debit
        room -= limit or 0
    else:
        limit, room = account.most, -account.posted - account.pending_credit
        room += limit or 0
    if limit is None:
        return None, None
    mine = session.uses(account.id, side)
    others = [use for s in book.sessions.values() if s is not session
              for use in s.uses(account.id, side)]
    taken, given = (sum(use.taken for use in mine), sum(use.given for use in mine))
    due = book.view(session).due(account, side)
    sure = room + given - taken - sum(use.taken for use in others)
    if not any(use.claims for use in others):
        sure += due
    return sure, room + given - taken + sum(use.given for use in others) + due
