"""Requests of the application: begun, answered, overtaken, forgotten."""

import threading
import time

from psycopg.types.json import Jsonb


class Claim:
    """A request that some client has begun under a lease."""

    def __init__(self, key, body, token):
        self.key = key
        self.body = body
        self.token = token


class Key:
    """leased: it is meant to be answered by a later transaction."""

    def __init__(self, name, leased):
        self.name = name
        self.leased = leased
        self.body = {"order": name}


class Desk:
    """The requests that the clients know of, so that they meet."""

    def __init__(self, scope):
        self.scope = scope
        self.lock = threading.Lock()
        self.keys = []
        self.claims = []
        self.kept = None  # a key that somebody keeps locked

    def key(self, chance):
        """A new one, or one of the last few."""
        kept = self.kept  # once: it comes and goes as its keeper likes
        with self.lock:
            if not self.keys or chance.random() < 0.25:
                self.keys.append(Key("key-%d" % (len(self.keys) + 1),
                                     chance.random() < 0.35))
            if kept is not None and chance.random() < 0.7:
                return next(key for key in self.keys if key.name == kept)
            reach = 4 if chance.random() < 0.8 else 30
            return self.keys[-1 - chance.randrange(min(reach, len(self.keys)))]

    def leave(self, claim):
        with self.lock:
            self.claims.append(claim)

    def take(self, chance):
        with self.lock:
            if not self.claims:
                return None
            return self.claims.pop(-1 - chance.randrange(min(6, len(self.claims))))


def clock():
    """The server is on this machine, so its clock is this one."""
    return time.time()


def begin(client, work, key, lease_ms):
    """begin_request; the answer is an effect of the transaction."""
    body = key.body
    if client.mix.maybe(0.06):
        body = dict(body, changed=True)
    ask = {"do": "ask", "key": key.name, "body": body, "lease_ms": lease_ms,
           "t0": clock(), "own": key.name in work.mine, "error": None}
    client.asks.append((work, ask))
    lease = None if lease_ms is None else "%d ms" % lease_ms
    try:
        rows = client.call(
            work, "SELECT to_jsonb(r) AS answer FROM teller.begin_request"
            "(%s, %s, %s, lease => %s) AS r",
            (client.desk.scope, key.name, Jsonb(body), lease), may_undo=False)
    except Exception as error:
        ask["error"] = getattr(error, "sqlstate", None) or "lost"
        raise
    finally:
        ask["t1"] = clock()
    ask.update(rows[0])
    ask["until"] = lease_end(client, key.name) if ask["fresh"] else None
    work.effects.append(ask)
    if ask["fresh"]:
        work.mine.add(key.name)
        if lease_ms is None:
            work.open.add(key.name)
    return ask


def lease_end(client, key_name):
    """Of a request just begun, as the server's clock has it; None without."""
    return client.execute(
        "SELECT extract(epoch FROM lease_until)::float8 AS until"
        " FROM teller.request WHERE scope = %s AND key = %s",
        (client.desk.scope, key_name)).fetchone()["until"]


def finish(client, work, key_name, token, response):
    """finish_request, with the token of a lease or without one."""
    given = {"do": "finish", "key": key_name, "token": token,
             "response": response, "t0": clock(), "error": None}
    client.asks.append((work, given))
    try:
        client.call(
            work, "SELECT teller.finish_request(%s, %s, %s, %s)::text AS answer",
            (client.desk.scope, key_name, Jsonb(response), token), may_undo=False)
    except Exception as error:
        given["error"] = getattr(error, "sqlstate", None) or "lost"
        raise
    finally:
        given["t1"] = clock()
    work.effects.append(given)
    work.open.discard(key_name)


def response_of(work, key_name):
    return {"key": key_name, "by": work.name,
            "effects": sum("row" in one for one in work.effects)}


def ask_at_once(client, work):
    """Begin, do it, finish: all in one transaction."""
    key, client.again = client.again, None
    if key is None:
        key = client.desk.key(client.mix.chance)
    lease_ms = None
    if key.leased != client.mix.maybe(0.1):
        lease_ms = client.mix.chance.choice((2, 10, 40, 3600000))
    ask = begin(client, work, key, lease_ms)
    if not ask["fresh"]:
        # Many who ask until they get an answer meet when a lease runs out.
        if ask["state"] == "in_progress" and client.mix.maybe(0.9):
            client.again = key
        return
    if lease_ms is not None and client.mix.maybe(0.8):
        work.claim = Claim(key.name, key.body, ask["token"])
        return
    client.one_row(work)
    if client.mix.maybe(0.06):
        return  # it forgets to
    finish(client, work, key.name,
           ask["token"] if lease_ms is not None or client.mix.maybe(0.3) else None,
           response_of(work, key.name))
    if client.mix.maybe(0.2):
        begin(client, work, key, None)


def answer_later(client, work, claim):
    """
    The transaction after the outside call; late now and then.  Who overtakes
    a request holds it while he changes rows, so rows come second here.
    """
    rows_first = work.phase != "orderly" and client.mix.maybe(0.5)
    if rows_first:
        client.one_row(work)
    finish(client, work, claim.key, claim.token, response_of(work, claim.key))
    if not rows_first:
        client.one_row(work)
