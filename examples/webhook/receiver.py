"""The other side: is a delivery genuine, and has it been handled before?

    delivery = verify(secret, request.headers, request.body)

Copy it into your web server.  Handle a delivery and remember its id in one
transaction; one whose id you know is answered with 200 and not handled again.
"""
import base64
import hashlib
import hmac
import json
import time

TOLERANCE_S = 300


class Refused(Exception):
    """Answer 400, and do nothing."""


def verify(secret, headers, body, now=None):
    """The id and the content of a delivery.  headers: by lower-case name;
    body: the bytes as they came, not parsed and written again."""
    delivery = headers.get("webhook-id", "")
    stamp = headers.get("webhook-timestamp", "")
    if not (stamp.isascii() and stamp.isdigit()) or abs((now or time.time()) - int(stamp)) > TOLERANCE_S:
        raise Refused("too old, or no time")
    key = base64.b64decode(secret.removeprefix("whsec_"))
    expected = base64.b64encode(hmac.new(
        key, f"{delivery}.{stamp}.".encode() + body, hashlib.sha256).digest())
    # Several signatures: while the secret is being changed.
    for signature in headers.get("webhook-signature", "").split():
        version, _, value = signature.partition(",")
        if version == "v1" and hmac.compare_digest(value.encode(), expected):
            return delivery, json.loads(body)
    raise Refused("not signed by us")
