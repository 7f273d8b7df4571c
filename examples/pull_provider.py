"""A provider of payments, as a worker sees it: what to send for a claimed
request, and what the answers mean.  Copy this file and change what differs.

The provider stands for the usual kind: POST /payouts with an Idempotency-Key,
GET /payouts/KEY to ask for one, JSON both ways.  What it must promise, and
what this file relies on:

* Under one Idempotency-Key it pays at most once, and answers a repeat with the
  first answer, refusals included, for 24 hours: memo_retention '24 h'.
* The key is the memo, so every try of an operation has the same.
* Its sandbox and its live mode are two servers, not one.

    provider = Provider("https://api.provider.example/v1", api_key)
    answer = provider(request)      # request as teller.claim() returned it
"""

import collections
import datetime
import decimal
import http.client
import json
import urllib.parse

# status: what teller.complete() takes, or "not_sent": it surely did not run
# and will not, so that teller.release_claim(..., false) is right.
Answer = collections.namedtuple(
    "Answer", "status reference reason amount asset",
    defaults=(None, None, None, None))

MAX_BODY = 64 * 1024


def not_sent(reason):
    return Answer("not_sent", reason=reason)


def in_doubt(reason):
    return Answer("in_doubt", reason=reason)


class Provider:
    def __init__(self, url, api_key):
        self.url = urllib.parse.urlsplit(url)
        self.api_key = api_key

    def __call__(self, request):
        """Carry out what a claim asks for.  Raises nothing that is expected
        to happen: whatever goes wrong on the way is an answer."""
        if request["verb"] == "execute":
            return self.pay(request)
        if request["verb"] == "lookup":
            return self.find(request)
        # The server has can_fence 'off', so this is never asked.
        return in_doubt(f"cannot {request['verb']}")

    # ---- paying ---------------------------------------------------------

    def pay(self, request):
        deadline = datetime.datetime.fromisoformat(request["not_after"])
        if datetime.datetime.now(datetime.timezone.utc) >= deadline:
            return not_sent("it is past not_after")
        if request["direction"] != "withdraw":
            return not_sent("this provider only pays out")
        body = {"amount": request["amount"], "currency": request["asset"],
                "destination": request["account"],
                "description": request["nonce"]}
        return self.send(request, "POST", "/payouts", body)

    def find(self, request):
        return self.send(request, "GET", "/payouts/" + request["memo"], None)

    # ---- the wire -------------------------------------------------------

    def send(self, request, method, path, body):
        kind = (http.client.HTTPSConnection if self.url.scheme == "https"
                else http.client.HTTPConnection)
        line = kind(self.url.hostname, self.url.port,
                    timeout=request["timeout_ms"] / 1000)
        try:
            # Until there is a connection, nothing can have been sent.
            try:
                line.connect()
            except OSError as error:
                return not_sent(f"no connection: {error}")
            # From here on, anything may have happened.
            try:
                line.request(method, self.url.path + path,
                             json.dumps(body) if body else None,
                             {"Idempotency-Key": request["memo"],
                              "Authorization": "Bearer " + self.api_key,
                              "Content-Type": "application/json"})
                reply = line.getresponse()
                text = reply.read(MAX_BODY + 1)
            except (OSError, http.client.HTTPException) as error:
                return in_doubt(f"no answer: {error!r}")
        finally:
            line.close()
        return self.read(request, method, reply.status, text)

    # ---- what an answer means -------------------------------------------

    def read(self, request, method, code, text):
        if method == "GET" and code == 404:
            return Answer("not_found")
        if code in (401, 403, 404, 429):
            # Stopped at the door, and not stored: it did not run.
            return not_sent(f"HTTP {code}")
        if code == 409:
            return Answer("busy", reason="in progress")
        if code == 422:
            return Answer("conflict", reason="the key has another request")
        if code in (200, 201, 402):
            return self.read_payout(text)
        return in_doubt(f"HTTP {code}")

    def read_payout(self, text):
        """A payout, paid or refused.  What cannot be read proves nothing."""
        try:
            payout = json.loads(text)
            status = {"paid": "executed", "failed": "rejected",
                      "pending": "busy"}[payout["status"]]
            return Answer(status, payout["id"], payout.get("failure"),
                          decimal.Decimal(payout["amount"]),
                          payout["currency"])
        except (ValueError, KeyError, TypeError,
                decimal.InvalidOperation) as error:
            return in_doubt(f"unreadable answer: {error!r}")
