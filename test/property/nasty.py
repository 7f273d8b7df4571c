"""Values that must be refused, and how: (function, arguments, SQLSTATE).

Each call is a sound one but for what is named; `hold` and `id` are filled in
where there is something to name.
"""

LONG = "k" * 256
DEEP = "[" * 65 + "]" * 65
WIDE = '{"a": "%s"}' % ("x" * 65536)
AMOUNTS = (
    (None, "22004"), ("0", "22023"), ("0.00", "22023"), ("-0", "22023"),
    ("-1", "22023"), ("NaN", "22023"), ("Infinity", "22023"), ("-Infinity", "22023"),
    ("1.005", "22023"), ("1e-100", "22023"), ("1e-16383", "22023"),
    ("1e39", "22003"), ("1e1000", "22003"), ("1e131071", "22003"),
    ("1000000000000000000000000000000000000", "22003"),
)
KEYS = ("", LONG, "k" * 100000, "two\nlines", "tab\t")
NOBODY = "h0"  # an id that the server never made

TRANSFER = {"debit_account": 1, "credit_account": 2, "amount": "1"}
UP_TO = {"debit_account": 1, "credit_account": 2, "max_amount": "1"}
POST = {"debit_accounts": [1, 2], "credit_accounts": [2, 3], "amounts": ["1", "1"]}
ACCOUNT = {"account": 77, "asset": "USD"}


def _table():
    yield from (("transfer", {**TRANSFER, "amount": a}, c) for a, c in AMOUNTS)
    yield from (("hold", {**TRANSFER, "amount": a}, c) for a, c in AMOUNTS)
    yield from (("transfer_up_to", {**UP_TO, "max_amount": a}, c) for a, c in AMOUNTS)
    yield from (("post", {**POST, "amounts": ["1", a]}, c) for a, c in AMOUNTS)
    for key in KEYS:
        yield "transfer", {**TRANSFER, "key": key}, "22023"
        yield "hold", {**TRANSFER, "key": key}, "22023"
        yield "post", {**POST, "keys": ["k", key]}, "22023"
        yield "find", {"key": key}, "22023"
    for function, plain in (("transfer", TRANSFER), ("hold", TRANSFER),
                            ("transfer_up_to", UP_TO)):
        for side in ("debit_account", "credit_account"):
            yield function, {**plain, side: None}, "22004"
            yield function, {**plain, side: 4242}, "TL009"
            yield function, {**plain, side: 6}, "TL007"
        yield function, {**plain, "ledger": None}, "22004"
        yield function, {**plain, "ledger": -42}, "TL009"
        yield function, {**plain, "credit_account": 1}, "22023"
        yield function, {**plain, "metadata": "5"}, "22023"
        yield function, {**plain, "metadata": '"x"'}, "22023"
        yield function, {**plain, "metadata": WIDE}, "54000"
        yield function, {**plain, "metadata": DEEP}, "54000"
        yield function, {**plain, "on_denial": "perhaps"}, "22023"
        yield function, {**plain, "on_denial": "record"}, "22023"
    for version, code in ((-1, "22023"), (2 ** 63 - 1, "TL002")):
        yield "transfer", {**TRANSFER, "expected_version": version}, code
        yield "hold", {**TRANSFER, "expected_version": version}, code
        yield "post", {**POST, "expected_versions": [version, None]}, code
    yield "transfer", {**TRANSFER, "effective_at": "infinity"}, "22023"
    for bound in ("min_after", "max_after"):
        yield "transfer", {**TRANSFER, bound: "NaN"}, "22023"
        yield "transfer", {**TRANSFER, bound: "0.001"}, "22023"
        yield "transfer", {**TRANSFER, bound: "1e39"}, "22003"
    yield "transfer_up_to", {**UP_TO, "min_amount": "-1"}, "22023"
    yield "transfer_up_to", {**UP_TO, "min_amount": "2"}, "22023"
    for ttl in ("0 hours", "-1 hours", "1000 years"):
        yield "hold", {**TRANSFER, "ttl": ttl}, "22023"
        yield "extend_hold", {"hold": NOBODY, "ttl": ttl}, "22023"
    yield "extend_hold", {"hold": NOBODY, "ttl": None}, "22004"
    for function in ("capture", "release"):
        yield function, {"hold": None}, "22004"
        yield function, {"hold": NOBODY}, "TL009"
    yield "extend_hold", {"hold": NOBODY, "ttl": "1 hours"}, "TL009"
    yield "adjust_hold", {"hold": NOBODY, "amount": "1"}, "TL009"
    yield "reverse", {"id": None}, "22004"
    yield "reverse", {"id": NOBODY}, "TL009"
    yield "reverse_batch", {"batch_id": None}, "22004"
    yield "reverse_batch", {"batch_id": NOBODY}, "TL009"
    for debits, code in ((None, "22004"), ([1, None], "22004"), ([], "22023"), ([1, 1], "22023"),
                         ([1, 2], "22023"), ([1, 6], "TL007"), ([1, 4242], "TL009")):
        yield "transfer_from", {"debit_accounts": debits, "credit_account": 2, "amount": "1"}, code
    yield "post", {**POST, "amounts": ["1"]}, "22023"
    yield "post", {**POST, "amounts": None}, "22004"
    yield "post", {**POST, "debit_accounts": [1, None]}, "22004"
    yield "post", {**POST, "credit_accounts": [2, 2]}, "22023"
    yield "post", {**POST, "credit_accounts": [2, 6]}, "TL007"
    yield "post", {**POST, "credit_accounts": [2, 4242]}, "TL009"
    yield "post", {**POST, "keys": ["k"]}, "22023"
    yield "post", {**POST, "key": "k", "keys": ["a", "b"]}, "22023"
    yield "post", {**POST, "key": "k", "mode": "independent"}, "22023"
    yield "post", {**POST, "mode": "both"}, "22023"
    yield "open_account", {**ACCOUNT, "asset": None}, "22004"
    yield "open_account", {**ACCOUNT, "asset": "XXX"}, "TL009"
    yield "open_account", {**ACCOUNT, "account": None}, "22004"
    yield "open_account", {**ACCOUNT, "min_balance": "5", "max_balance": "4"}, "22023"
    yield "open_account", {**ACCOUNT, "min_balance": "NaN"}, "22023"
    yield "open_account", {**ACCOUNT, "max_balance": "0.001"}, "22023"
    yield "open_account", {**ACCOUNT, "max_balance": "1e36"}, "22003"
    yield "open_account", {**ACCOUNT, "account": 2, "min_balance": "1"}, "TL003"
    for name in ("", "n" * 300, "bell\a"):
        yield "open_account", {**ACCOUNT, "name": name}, "22023"
    yield "balance", {"account": None}, "22004"
    yield "balance", {"account": 4242}, "TL009"
    yield "statement", {"account": 1, "after_version": -1}, "22023"
    yield "statement", {"account": 1, "max_rows": 0}, "22023"
    yield "statement", {"account": 1, "max_rows": 10001}, "22023"
    yield "statement", {"account": 4242}, "TL009"
    yield "balance_at", {"account": 1, "at": None}, "22004"
    yield "balance_at", {"account": 1, "at": "infinity", "by": "heart"}, "22023"
    yield "balance_at", {"account": 4242, "at": "infinity"}, "TL009"
    yield "find", {"key": None}, "22004"
    yield "expire_due", {"max_holds": 0}, "22023"
    yield "expire_due", {"max_holds": 1000001}, "22023"


TABLE = tuple(_table())
