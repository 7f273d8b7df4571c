#!/usr/bin/env python3
"""A ledger behind HTTP, as the wrapper teller_http calls it.

The Python standard library is all it needs.  Its books are an SQLite file.
README.md tells how to run it; docs/http.md has the contract.

The rule that everything else follows from: the memo is looked at before any
other rule, and the answer is stored in the same transaction as its effect.
"""

import argparse
import base64
import hmac
import json
import os
import re
import signal
import sqlite3
import ssl
import sys
import threading
from datetime import datetime, timezone
from decimal import Decimal, InvalidOperation
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from faults import CutShort, Faults

MAX_BODY = 128 * 1024
MEMO = re.compile(r"[0-9a-f]{64}\Z")
AMOUNT = re.compile(r"[0-9]{1,30}(\.[0-9]{1,18})?\Z")

SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    name TEXT PRIMARY KEY,
    asset TEXT NOT NULL,
    balance TEXT NOT NULL,              -- a decimal number; SQLite has none
    may_go_negative INTEGER NOT NULL DEFAULT 0,
    mandate INTEGER NOT NULL DEFAULT 0  -- deposits may take from it
);
CREATE TABLE IF NOT EXISTS memo (
    memo TEXT PRIMARY KEY,
    request TEXT,                       -- NULL: a fence came first
    status TEXT NOT NULL,
    reference TEXT,
    reason TEXT,
    amount TEXT,
    asset TEXT,
    executed_at TEXT NOT NULL
);
CREATE TABLE IF NOT EXISTS movement (
    id INTEGER PRIMARY KEY,
    memo TEXT NOT NULL,
    payer TEXT NOT NULL,
    payee TEXT NOT NULL,
    amount TEXT NOT NULL,
    asset TEXT NOT NULL
);
"""


def now():
    return datetime.now(timezone.utc).isoformat()


class Refused(Exception):
    """A refusal that is stored: reason is one word."""


class Malformed(Exception):
    """A request that cannot be read: nothing is stored."""


class Books:
    """Accounts, memos and movements.  One writer at a time."""

    def __init__(self, path, own_account):
        self.path = path
        self.own = own_account
        self.local = threading.local()
        with self.connection() as db:
            db.executescript(SCHEMA)

    def connection(self):
        if not hasattr(self.local, "db"):
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None)
            db.row_factory = sqlite3.Row
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("PRAGMA synchronous = FULL")
            self.local.db = db
        return self.local.db

    def open_account(self, name, asset, balance="0", negative=False,
                     mandate=False):
        with self.connection() as db:
            db.execute(
                "INSERT INTO account VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (name) DO NOTHING",
                (name, asset, balance, negative, mandate))

    # -- the three calls ------------------------------------------------

    def execute(self, request):
        """What is stored under the request's memo, or what comes of it now."""
        db = self.connection()
        # not_after is not part of what the memo names: a request that was
        # repeated after a restore has another one.
        text = json.dumps({name: value for name, value in request.items()
                           if name != "not_after"}, sort_keys=True)
        db.execute("BEGIN IMMEDIATE")
        try:
            stored = self._find(db, request["memo"])
            if stored is not None:
                db.execute("ROLLBACK")
                if stored["request"] not in (None, text):
                    return dict(self._answer(stored, True), status="conflict",
                                reason="the memo was used with another request")
                return self._answer(stored, True)
            answer = self._decide(db, request, text)
            db.execute("COMMIT")
            return answer
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def lookup(self, memo):
        stored = self._find(self.connection(), memo)
        if stored is None:
            return {"memo": memo, "status": "not_found"}
        return self._answer(stored, True)

    def fence(self, memo, reason):
        """See that the memo is never executed, or tell that it was."""
        db = self.connection()
        db.execute("BEGIN IMMEDIATE")
        try:
            stored = self._find(db, memo)
            replayed = stored is not None
            if not replayed:
                self._store(db, memo, None, "cancelled", reason=reason)
                stored = self._find(db, memo)
            db.execute("COMMIT")
            return self._answer(stored, replayed)
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    # -- inside a transaction -------------------------------------------

    def _find(self, db, memo):
        return db.execute("SELECT * FROM memo WHERE memo = ?",
                          (memo,)).fetchone()

    def _store(self, db, memo, text, status, **columns):
        db.execute(
            "INSERT INTO memo VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (memo, text, status, columns.get("reference"),
             columns.get("reason"), columns.get("amount"),
             columns.get("asset"), now()))

    def _answer(self, row, replayed):
        answer = {key: row[key] for key in (
            "memo", "status", "reference", "reason", "amount", "asset",
            "executed_at")}
        answer.update(replayed=replayed, server_now=now())
        return answer

    def _decide(self, db, request, text):
        memo = request["memo"]
        values = {"amount": request["amount"], "asset": request["asset"]}
        if datetime.fromisoformat(request["not_after"]) \
                <= datetime.now(timezone.utc):
            self._store(db, memo, text, "expired", reason="not_after", **values)
        else:
            try:
                reference = self._move(db, request)
                self._store(db, memo, text, "executed", reference=reference,
                            **values)
            except Refused as refusal:
                self._store(db, memo, text, "rejected", reason=str(refusal),
                            **values)
        return self._answer(self._find(db, memo), False)

    def _account(self, db, name):
        row = db.execute("SELECT * FROM account WHERE name = ?",
                         (name,)).fetchone()
        if row is None:
            raise Refused("not_found")
        return row

    def _move(self, db, request):
        """Withdraw: our caller's account pays the named one.  Deposit: the
        named account pays our caller's, if it has a mandate."""
        amount = Decimal(request["amount"])
        named = self._account(db, request["account"])
        own = self._account(db, self.own)
        payer, payee = own, named
        if request["direction"] == "deposit":
            if not named["mandate"]:
                raise Refused("not_permitted")
            payer, payee = named, own
        if payer["name"] == payee["name"]:
            raise Refused("same_account")
        if not request["asset"] == payer["asset"] == payee["asset"]:
            raise Refused("asset_mismatch")
        if Decimal(payer["balance"]) < amount and not payer["may_go_negative"]:
            raise Refused("insufficient_funds")
        for account, change in ((payer, -amount), (payee, amount)):
            db.execute("UPDATE account SET balance = ? WHERE name = ?",
                       (str(Decimal(account["balance"]) + change),
                        account["name"]))
        movement = db.execute(
            "INSERT INTO movement (memo, payer, payee, amount, asset)"
            " VALUES (?, ?, ?, ?, ?)",
            (request["memo"], payer["name"], payee["name"],
             request["amount"], request["asset"]))
        return "movement-%d" % movement.lastrowid

    # -- for people and tests -------------------------------------------

    def dump(self):
        db = self.connection()
        return {table: [dict(row) for row in db.execute(
            "SELECT * FROM %s ORDER BY 1" % table)]
            for table in ("account", "memo", "movement")}


def read_request(body):
    """The request of an execute.  Raises Malformed."""
    try:
        request = json.loads(body)
    except ValueError:
        raise Malformed("the body is not JSON")
    if not isinstance(request, dict):
        raise Malformed("the body is not an object")
    for name in ("memo", "direction", "account", "amount", "asset", "nonce",
                 "not_after"):
        if not isinstance(request.get(name), str):
            raise Malformed("%s is missing or not a string" % name)
    if not MEMO.match(request["memo"]):
        raise Malformed("memo is not 64 hexadecimal digits")
    if request["direction"] not in ("withdraw", "deposit"):
        raise Malformed("direction is neither withdraw nor deposit")
    try:
        if not AMOUNT.match(request["amount"]) \
                or Decimal(request["amount"]) <= 0:
            raise Malformed("amount is not a decimal number above zero")
        if datetime.fromisoformat(request["not_after"]).tzinfo is None:
            raise Malformed("not_after has no time zone")
    except (ValueError, InvalidOperation):
        raise Malformed("amount or not_after cannot be read")
    return request


STATUS_OF_ANSWER = {"executed": 200, "rejected": 200, "cancelled": 200,
                    "expired": 200, "conflict": 422, "not_found": 404}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "http_ledger"
    disable_nagle_algorithm = True
    wbufsize = -1
    timeout = 60

    # -- what is asked --------------------------------------------------

    def do_GET(self):
        path = self.path_below()
        if path == "/capabilities":
            self.serve("check", lambda body: self.capabilities())
        elif self.memo_in(path, ""):
            self.serve("lookup", lambda body: self.server.books.lookup(
                self.memo_in(path, "")))
        else:
            self.serve("nothing", None)

    def do_POST(self):
        if self.path_below() == "/operations":
            self.serve("execute", self.execute)
        else:
            self.serve("nothing", None)

    def do_PUT(self):
        memo = self.memo_in(self.path_below(), "/fence")
        if memo:
            self.serve("fence", lambda body: self.fence(memo, body))
        else:
            self.serve("nothing", None)

    def path_below(self):
        base = self.server.base
        return self.path[len(base):] if self.path.startswith(base) else ""

    def memo_in(self, path, end):
        found = re.match(r"/operations/([0-9a-f]{64})%s\Z" % re.escape(end),
                         path)
        return found.group(1) if found else None

    def serve(self, verb, answer):
        """One call: is it whole, is there such a thing, may he, is something
        to go wrong?  The body is read in any case: what is left of it would
        be taken for the next request."""
        try:
            body = self.read_body()
            if answer is None:
                self.reply(404, {"error": "there is nothing here"})
                return
            if not self.is_allowed():
                self.reply(401, {"error": "who are you?"})
                return
            self.server.faults.serve(self, verb, lambda: answer(body))
        except Malformed as problem:
            self.reply(400, {"error": str(problem)})
        except (CutShort, ConnectionError, ssl.SSLError):
            self.close_connection = True

    def read_body(self):
        if self.headers.get("Transfer-Encoding"):
            raise Malformed("send a Content-Length")
        length = int(self.headers.get("Content-Length") or 0)
        if length > MAX_BODY:
            self.close_connection = True
            raise Malformed("the body is too long")
        return self.rfile.read(length)

    def is_allowed(self):
        wanted = self.server.authorization
        given = self.headers.get("Authorization", "")
        return wanted is None or hmac.compare_digest(wanted.encode(),
                                                     given.encode())

    # -- what is answered -----------------------------------------------

    def capabilities(self):
        return {"product": "http_ledger", "version": "1", "contract": 1,
                "directions": ["withdraw", "deposit"], "can_lookup": True,
                "can_fence": True, "honours_memo": True,
                "memo_retention": None, "writable": True, "server_now": now()}

    def execute(self, body):
        request = read_request(body)
        if self.headers.get("Idempotency-Key") != '"%s"' % request["memo"]:
            raise Malformed("the header Idempotency-Key is not the memo")
        self.server.note(request["memo"], body)
        return self.server.books.execute(request)

    def fence(self, memo, body):
        try:
            reason = json.loads(body or b"{}").get("reason")
        except (ValueError, AttributeError):
            raise Malformed("the body is not a JSON object")
        return self.server.books.fence(memo, reason)

    def reply(self, status, answer, headers=()):
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def reply_answer(self, answer):
        self.reply(STATUS_OF_ANSWER.get(answer.get("status"), 200), answer)

    def log_message(self, format, *args):
        if self.server.verbose:
            BaseHTTPRequestHandler.log_message(self, format, *args)


class Service(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = True

    def __init__(self, options, books, faults):
        self.books = books
        self.faults = faults
        self.base = options.base
        self.verbose = options.verbose
        self.authorization = authorization(options)
        self.bodies = {}            # memo: the bodies it came with
        self.tls = tls_context(options)
        ThreadingHTTPServer.__init__(self, (options.host, options.port),
                                     Handler)

    def note(self, memo, body):
        self.bodies.setdefault(memo, []).append(body)

    def finish_request(self, request, client_address):
        """In the connection's own thread, so that nobody waits for a
        handshake."""
        request.settimeout(60)
        if self.faults.at_connection(request):
            return
        if self.tls is not None:
            try:
                request = self.tls.wrap_socket(request, server_side=True)
            except (ssl.SSLError, OSError):
                return
        ThreadingHTTPServer.finish_request(self, request, client_address)
        try:
            request.close()
        except OSError:
            return

    def handle_error(self, request, client_address):
        if self.verbose:
            ThreadingHTTPServer.handle_error(self, request, client_address)


def authorization(options):
    if options.token is not None:
        return "Bearer " + options.token
    if options.user is not None:
        pair = "%s:%s" % (options.user, options.password)
        return "Basic " + base64.b64encode(pair.encode()).decode()
    return None


def tls_context(options):
    if options.cert is None:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    if options.client_ca is not None:
        context.load_verify_locations(options.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def read_options():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8443, help="0: any")
    parser.add_argument("--base", default="", help="path in front of all others")
    parser.add_argument("--db", default="ledger.sqlite")
    parser.add_argument("--own", default="shop",
                        help="the account of those who call")
    parser.add_argument("--account", action="append", default=[],
                        metavar="NAME:ASSET:BALANCE[:mandate][:negative]")
    parser.add_argument("--cert", help="certificate; without it, plain HTTP")
    parser.add_argument("--key")
    parser.add_argument("--client-ca", help="ask for client certificates")
    parser.add_argument("--token")
    parser.add_argument("--user")
    parser.add_argument("--password")
    parser.add_argument("--control", type=int, metavar="PORT",
                        help="a port for faults and books, plain HTTP on"
                        " 127.0.0.1; 0: any.  For tests.")
    parser.add_argument("--ports", metavar="FILE",
                        help="write the ports there, once they listen")
    parser.add_argument("--verbose", action="store_true")
    return parser.parse_args()


def main():
    options = read_options()
    books = Books(options.db, options.own)
    for account in options.account:
        name, asset, balance, *more = account.split(":")
        books.open_account(name, asset, balance, "negative" in more,
                           "mandate" in more)
    faults = Faults()
    service = Service(options, books, faults)
    ports = [service.server_address[1]]
    if options.control is not None:
        control = faults.control(options.control, service)
        ports.append(control.server_address[1])
        threading.Thread(target=control.serve_forever, daemon=True).start()
    signal.signal(signal.SIGTERM, lambda *unused: sys.exit(0))
    if options.ports is not None:
        with open(options.ports + ".new", "w") as file:
            file.write(" ".join(map(str, ports)) + "\n")
        os.replace(options.ports + ".new", options.ports)
    print("listening on %s:%s" % (options.host, ports[0]), flush=True)
    service.serve_forever()


if __name__ == "__main__":
    main()
