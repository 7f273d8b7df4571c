#!/usr/bin/python3
"""The relay of examples/webhook against a web server that fails at random and
records what it was told, while sessions write the ledger and the relay is
killed.  Two relays run, so that one takes over.

The web server takes one request after the other, so what it records is in the
order in which it was told.
"""
import base64
import collections
import http.server
import os
import random
import subprocess
import sys
import threading
import time

import psycopg

sys.path.insert(0, "examples/webhook")
import receiver  # noqa: E402

LEDGER = 1
MOVEMENTS = 120                 # of each writer
WRITERS = 3
KILLS = 6
PATIENCE_S = 120
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes....").decode()

failures = 0


def claim(words, wrong):
    """One line; wrong: what speaks against it."""
    global failures
    print(f"{'not ok' if wrong else 'ok'} - webhook: {words}")
    for line in wrong[:10]:
        print(f"# {line}")
    failures += bool(wrong)


# ---- the web server --------------------------------------------------------


class Recorder(http.server.HTTPServer):
    """What was told, and how it was answered."""

    request_queue_size = 64

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.random = random.Random(4711)
        self.told = []          # (id, content) of each genuine delivery
        self.forged = []
        self.answers = collections.Counter()
        self.news = threading.Condition()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def fate(self):
        return self.random.choices(
            ("accept", "fail", "hang up", "redirect", "fail late", "hang up late"),
            (70, 6, 6, 6, 6, 6))[0]

    def record(self, headers, body):
        with self.news:
            try:
                self.told.append(receiver.verify(SECRET, headers, body))
            except receiver.Refused as refusal:
                self.forged.append(str(refusal))
            self.news.notify_all()

    def wait_until(self, condition):
        with self.news:
            return self.news.wait_for(condition, PATIENCE_S)


class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def do_POST(self):
        server = self.server
        fate = server.fate()
        server.answers[fate] += 1
        body = self.rfile.read(int(self.headers["content-length"]))
        if fate == "accept" or fate.endswith("late"):
            headers = {name.lower(): value for name, value in self.headers.items()}
            server.record(headers, body)
        if fate.startswith("hang up"):
            self.close_connection = True
            return
        self.send_response({"accept": 200, "redirect": 302}.get(fate, 503))
        if fate == "redirect":
            self.send_header("location", f"http://127.0.0.1:{server.server_port}/elsewhere")
        self.send_header("content-length", "0")
        self.end_headers()

    def do_GET(self):
        self.server.forged.append("a redirect was followed")


# ---- the relays ------------------------------------------------------------


class Relays:
    """Two; when one is killed, another is started."""

    def __init__(self):
        self.environment = dict(os.environ, PGUSER="webhook_relay", PGDATABASE="webhook",
                                WEBHOOK_SECRET=SECRET)
        self.running = [self.start(), self.start()]
        self.kills = 0

    def start(self):
        return subprocess.Popen(
            ["/usr/bin/python3", "-B", "examples/webhook/relay.py", "--poll-s", "0.02",
             "--first-wait-s", "0.002", "--longest-wait-s", "0.02", "--page-rows", "7", "crm"],
            env=self.environment, stderr=subprocess.DEVNULL)

    def kill_one(self):
        relay = self.running.pop(0)
        relay.kill()
        relay.wait()
        self.running.append(self.start())
        self.kills += 1

    def end(self):
        ended_by_themselves = [relay.poll() for relay in self.running
                               if relay.poll() is not None]
        for relay in self.running:
            relay.kill()
            relay.wait()
        return ended_by_themselves


# ---- the ledger ------------------------------------------------------------


def connect():
    return psycopg.connect("dbname=webhook", autocommit=True)


def write(seed):
    """Movements to and fro between world and two customers, some in longer
    transactions that others overtake, some rolled back, and holds."""
    chance = random.Random(seed)
    with connect() as connection:
        for number in range(MOVEMENTS):
            customer = chance.choice((2, 3))
            pair = (1, customer) if number % 2 else (customer, 1)
            amount = chance.randint(1, 60)
            with connection.transaction(force_rollback=chance.random() < 0.1):
                connection.execute("SELECT teller.lock_accounts(%s, ARRAY[1, 2, 3])", (LEDGER,))
                if chance.random() < 0.2:
                    connection.execute("SELECT teller.hold(%s, %s, %s, %s)", (LEDGER, *pair, amount))
                for _ in range(chance.choice((1, 1, 3))):
                    connection.execute("SELECT teller.transfer(%s, %s, %s, %s)", (LEDGER, *pair, amount))


def set_up(port):
    with connect() as connection:
        connection.execute("SELECT teller.create_ledger(%s)", (LEDGER,))
        connection.execute("SELECT teller.create_asset('USD', 2)")
        for account in (1, 2, 3):
            connection.execute("SELECT teller.open_account(%s, %s, 'USD', min_balance => NULL)",
                               (LEDGER, account))
        connection.execute("SELECT teller.grant_ledger(%s, 'webhook_relay', 'read')", (LEDGER,))
        connection.execute("INSERT INTO webhook.endpoint VALUES ('crm', %s, %s)",
                           (LEDGER, f"http://127.0.0.1:{port}/hook?of=teller"))
        for alert in ((2, 50, "above"), (2, -50, "below"), (3, 0, "above"), (3, 0, "below")):
            connection.execute("SELECT webhook.watch('crm', %s, %s, %s)", alert)


def all_delivered():
    with connect() as connection:
        return connection.execute(
            "SELECT NOT EXISTS (SELECT FROM webhook.next_movements('crm', 1))"
            " AND NOT EXISTS (SELECT FROM webhook.raised WHERE NOT delivered)"
            " AND NOT EXISTS (SELECT FROM webhook.alert AS a, teller.balance(%s, a.account_id) AS b"
            "   WHERE b.version > a.version)", (LEDGER,)).fetchone()[0]


def passings():
    """(account, mark, direction, version) of each, from the postings."""
    with connect() as connection:
        alerts = connection.execute(
            "SELECT id, account_id, mark, direction FROM webhook.alert ORDER BY id").fetchall()
        expected = []
        for alert, account, mark, direction in alerts:
            before = 0
            for version, posted in connection.execute(
                    "SELECT version, posted FROM teller.posting WHERE account_id = %s"
                    " ORDER BY version", (account,)):
                if (before <= mark < posted if direction == "above" else before >= mark > posted):
                    expected.append(f"alert-{alert}-{version}")
                before = posted
        return expected


def in_feed():
    with connect() as connection:
        rows = connection.execute(
            "SELECT id::text, amount::text FROM teller.journal_since(%s, NULL, 10000)", (LEDGER,)).fetchall()
        return rows


# ---- what is to be shown ---------------------------------------------------


def out_of_order(told, expected):
    """Deliveries must be `expected`, in its order, where each may come
    several times in a row."""
    place = -1
    for number, delivery in enumerate(told):
        if place >= 0 and delivery == expected[place]:
            continue
        place += 1
        if place >= len(expected) or delivery != expected[place]:
            return [f"delivery {number} is {delivery}, not number {place} of the feed or a repeat"]
    return [] if place == len(expected) - 1 else [f"{len(expected) - 1 - place} never arrived"]


def check(server, relays):
    feed = in_feed()
    rows = [row for row, _ in feed]
    amounts = dict(feed)
    told = [delivery for delivery, content in server.told if content["type"] == "movement"]
    alerts = [delivery for delivery, content in server.told if content["type"] == "alert"]
    claim("each row of the journal arrives at least once, in order, though the relay is killed",
          out_of_order(told, rows))
    claim("what arrives is the row, exact to the cent",
          [f"{delivery}: {content}" for delivery, content in server.told
           if content["type"] == "movement" and content["data"]["amount"] != amounts.get(delivery)])
    with connect() as connection:
        raised = [row for row, in connection.execute(
            "SELECT format('alert-%s-%s', alert, version) FROM webhook.raised ORDER BY place")]
    expected = passings()
    claim("an alert is raised once for each passing of a mark",
          [] if sorted(raised) == sorted(expected) else [f"{sorted(set(raised) ^ set(expected))}"])
    claim("each alert arrives, in order", out_of_order(alerts, raised))
    claim("every delivery is signed", server.forged)
    claim("the run had failures of each kind, kills, passings and repeats",
          [f"{server.answers}, {relays.kills} kills, {len(expected)} passings, {len(told)} of {len(rows)} told"]
          if min(server.answers.values()) < 5 or len(server.answers) < 6 or relays.kills < KILLS
          or len(expected) < 5 or len(told) <= len(rows) else [])
    claim("a row left out, and two rows exchanged, would be noticed",
          [] if out_of_order(rows[:5] + rows[6:], rows) and out_of_order(rows[:-1], rows)
          and out_of_order([rows[1], rows[0]] + rows[2:], rows)
          and out_of_order(rows[:3] + rows[:2] + rows[3:], rows) else ["it was not"])


def forged_is_refused():
    """What receiver.py says of deliveries that are not genuine."""
    sys.path.insert(0, "examples/webhook")
    import relay
    body = b'{"type": "movement"}'
    now = int(time.time())
    key = relay.key_of(SECRET)
    genuine = {"webhook-id": "x", "webhook-timestamp": str(now),
               "webhook-signature": relay.sign(key, "x", now, body)}
    old = dict(genuine, **{"webhook-timestamp": str(now - 301),
                           "webhook-signature": relay.sign(key, "x", now - 301, body)})
    changed = [(dict(genuine, **{"webhook-id": "y"}), body), (genuine, body + b" "), (old, body),
               (dict(genuine, **{"webhook-timestamp": str(now + 1)}), body), ({}, body),
               (dict(genuine, **{"webhook-signature": "v1,AAAA"}), body),
               (dict(genuine, **{"webhook-timestamp": "\u00b2"}), body)]
    wrong = []
    if receiver.verify(SECRET, genuine, body)[0] != "x":
        wrong.append("the genuine one was refused")
    for headers, content in changed:
        try:
            receiver.verify(SECRET, headers, content)
            wrong.append(f"accepted: {headers}")
        except receiver.Refused:
            pass
    claim("what is forged, changed or old is refused", wrong)


def main():
    forged_is_refused()
    server = Recorder()
    set_up(server.server_port)
    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(WRITERS)]
    relays = Relays()
    for writer in writers:
        writer.start()
    for kill in range(KILLS):
        server.wait_until(lambda: len(server.told) >= 40 * (kill + 1))
        relays.kill_one()
    for writer in writers:
        writer.join()
    deadline = time.monotonic() + PATIENCE_S
    while not all_delivered() and time.monotonic() < deadline:
        with server.news:
            server.news.wait(0.1)
    claim("the relays run until they are killed", [f"status {status}" for status in relays.end()])
    check(server, relays)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
