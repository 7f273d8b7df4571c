#!/usr/bin/python3
"""Tell a web server of every movement of a ledger, and of balances that pass
a mark.  Needs psycopg 3 and the tables of setup.sql.

    export WEBHOOK_SECRET=whsec_...  PGDATABASE=shop  PGUSER=webhook_relay
    relay.py ENDPOINT

ENDPOINT is a name in webhook.endpoint.  Each delivery is a POST of JSON,
signed as the Standard Webhooks say: webhook-id, webhook-timestamp,
webhook-signature.  Only an answer of 2xx counts as delivered; anything else
is tried again, later and later.  Deliveries are made one after the other, in
order, and none is left out; after a crash the last one may come again, with
the same webhook-id.

Any number of relays may run for one endpoint: one works, the others wait.
No transaction is open while a web server is waited for.
"""
import argparse
import base64
import hashlib
import hmac
import http.client
import os
import random
import sys
import time
import urllib.parse

import psycopg


class Overtaken(Exception):
    """Another relay has delivered what this one was about to note."""


def key_of(secret):
    """The bytes to sign with: whsec_ and base64, as the standard has it."""
    if not secret.startswith("whsec_"):
        raise ValueError("WEBHOOK_SECRET must be whsec_ and base64")
    return base64.b64decode(secret[len("whsec_"):], validate=True)


def sign(key, delivery, stamp, body):
    signed = f"{delivery}.{stamp}.".encode() + body
    return "v1," + base64.b64encode(
        hmac.new(key, signed, hashlib.sha256).digest()).decode()


def post(url, key, delivery, body, timeout_s):
    """True if it was accepted.  Redirects are not followed."""
    parts = urllib.parse.urlsplit(url)
    connect = {"http": http.client.HTTPConnection,
               "https": http.client.HTTPSConnection}[parts.scheme]
    connection = connect(parts.netloc, timeout=timeout_s)
    path = (parts.path or "/") + ("?" + parts.query if parts.query else "")
    stamp = int(time.time())
    try:
        connection.request("POST", path, body, {
            "content-type": "application/json",
            "webhook-id": delivery,
            "webhook-timestamp": str(stamp),
            "webhook-signature": sign(key, delivery, stamp, body)})
        return 200 <= connection.getresponse().status < 300
    except (OSError, http.client.HTTPException) as failure:
        print(f"{delivery}: {failure!r}", file=sys.stderr)
        return False
    finally:
        connection.close()


class Relay:
    def __init__(self, connection, key, args):
        self.connection = connection
        self.key = key
        self.args = args
        self.endpoint = args.endpoint
        self.cursor = None

    def ask(self, query, *values):
        """Each statement is a transaction of its own."""
        return self.connection.execute(query, values)

    def be_the_one(self):
        """Until this session ends, no other relay works for the endpoint."""
        query = "SELECT pg_try_advisory_lock(hashtextextended('webhook ' || %s, 0))"
        while not self.ask(query, self.endpoint).fetchone()[0]:
            time.sleep(self.args.poll_s)
        # What is told must not be lost in a crash.
        self.ask("SET synchronous_commit = on")

    def read_endpoint(self):
        found = self.ask("SELECT url, cursor FROM webhook.endpoint WHERE name = %s",
                         self.endpoint).fetchone()
        if found is None:
            sys.exit(f"there is no endpoint {self.endpoint}")
        return found

    def deliver(self, rows, note):
        """note: what to write down when a row is delivered, from its place."""
        for delivery, body, place in rows:
            wait_s = self.args.first_wait_s
            # The address is read again each time: it may have been mended,
            # and the session may be lost, and with it the right to deliver.
            while not post(self.read_endpoint()[0], self.key, delivery,
                           body.encode(), self.args.timeout_s):
                time.sleep(wait_s * random.uniform(0.5, 1))
                wait_s = min(2 * wait_s, self.args.longest_wait_s)
            note(place)

    def note_alert(self, place):
        self.ask("UPDATE webhook.raised SET delivered = true WHERE place = %s", place)

    def note_movement(self, place):
        """The cursor goes on from where it stood, or this relay is not the
        one any more: its session was lost, and it did not know."""
        moved = self.ask("UPDATE webhook.endpoint SET cursor = %s WHERE name = %s"
                         " AND cursor IS NOT DISTINCT FROM %s",
                         place, self.endpoint, self.cursor)
        if moved.rowcount != 1:
            raise Overtaken(self.endpoint)
        self.cursor = place

    def work(self):
        """One page of alerts and one of movements; how many there were."""
        self.cursor = self.read_endpoint()[1]
        self.ask("SELECT webhook.raise_alerts(%s)", self.endpoint)
        alerts = self.ask("SELECT * FROM webhook.next_alerts(%s, %s)",
                          self.endpoint, self.args.page_rows).fetchall()
        self.deliver(alerts, self.note_alert)
        rows = self.ask("SELECT * FROM webhook.next_movements(%s, %s)",
                        self.endpoint, self.args.page_rows).fetchall()
        self.deliver(rows, self.note_movement)
        return len(alerts) + len(rows)

    def run(self):
        self.be_the_one()
        while True:
            if self.work() == 0:
                time.sleep(self.args.poll_s)


def main():
    parser = argparse.ArgumentParser(usage="relay.py [options] ENDPOINT")
    parser.add_argument("endpoint")
    parser.add_argument("--poll-s", type=float, default=1.0, help="between looks for something new")
    parser.add_argument("--first-wait-s", type=float, default=1.0, help="before a delivery is tried again")
    parser.add_argument("--longest-wait-s", type=float, default=300.0, help="it doubles up to this")
    parser.add_argument("--timeout-s", type=float, default=10.0, help="for the web server to answer")
    parser.add_argument("--page-rows", type=int, default=100)
    args = parser.parse_args()
    key = key_of(os.environ["WEBHOOK_SECRET"])
    while True:
        try:
            with psycopg.connect(autocommit=True) as connection:
                Relay(connection, key, args).run()
        except (psycopg.OperationalError, Overtaken) as failure:
            print(f"once more: {failure!r}", file=sys.stderr)
            time.sleep(args.first_wait_s)


if __name__ == "__main__":
    main()
