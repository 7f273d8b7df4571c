"""A provider of payments that pays nobody, for test/examples/pull.py.

It keeps what examples/pull_provider.py relies on: under one Idempotency-Key it
pays at most once.  What happens on the way is asked for by the first word of
the destination:

bob        it is paid
closed     it is refused, and the refusal is stored
slow       it is paid, and the first answer waits until release() is called
hang       the first request waits for release() before it does anything
lost       it is paid, and the first answer is lost
reset      the connection ends before the first request is looked at
error      the first answer is 500, and nothing was done
later      the first answer is 429
busy       the first answer is 409
junk       it is paid, and the first answer is no JSON
other      it is paid, and the answer tells of another amount
deaf       it is paid, and only GET ever tells
"""

import http.server
import json
import threading


class FakeProvider:
    def __init__(self):
        self.lock = threading.Lock()
        self.answers = {}       # by key: the body, and the stored answer
        self.paid = []          # the keys, once for each payment made
        self.seen = []          # key and destination of each request
        self.gate = threading.Event()
        provider = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                provider.post(self)

            def do_GET(self):
                provider.get(self)

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_):
                pass            # a client that was killed

        self.server = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever,
                         daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def release(self):
        self.gate.set()

    def hold(self):
        self.gate.clear()

    def calls_for(self, destination):
        with self.lock:
            return sum(to == destination for _, to in self.seen)

    # ---- what it does ---------------------------------------------------

    def pay(self, key, body):
        """Once for each key; 422 for another request under it."""
        with self.lock:
            if key not in self.answers:
                failed = body["destination"].startswith("closed")
                if not failed:
                    self.paid.append(key)
                self.answers[key] = (body, {
                    "id": f"po_{len(self.answers) + 1}",
                    "status": "failed" if failed else "paid",
                    "failure": "account_closed" if failed else None,
                    "amount": body["amount"], "currency": body["currency"]})
            before, answer = self.answers[key]
        if before != body:
            return 422, {}
        return 402 if answer["status"] == "failed" else 200, answer

    def post(self, handler):
        key = handler.headers["Idempotency-Key"]
        body = json.loads(handler.rfile.read(
            int(handler.headers["Content-Length"])))
        how = body["destination"].split("-")[0]
        with self.lock:
            first = all(k != key for k, _ in self.seen)
            self.seen.append((key, body["destination"]))
        if how == "reset" and first:
            return
        if how in ("error", "later", "busy") and first:
            self.answer(handler, {"error": 500, "later": 429,
                                  "busy": 409}[how], {})
            return
        if how == "hang" and first:
            self.gate.wait()
        code, answer = self.pay(key, body)
        if how == "slow" and first:
            self.gate.wait()
        if how == "deaf" or how == "lost" and first:
            return
        if how == "junk" and first:
            self.answer(handler, 200, None)
            return
        if how == "other":
            answer = {**answer, "amount": "999.00"}
        self.answer(handler, code, answer)

    def get(self, handler):
        key = handler.path.rsplit("/", 1)[1]
        with self.lock:
            _, answer = self.answers.get(key, (None, None))
        self.answer(handler, 200 if answer else 404, answer or {})

    def answer(self, handler, code, answer):
        text = b"<html>" if answer is None else json.dumps(answer).encode()
        handler.send_response(code)
        handler.send_header("Content-Length", str(len(text)))
        handler.end_headers()
        handler.wfile.write(text)
