"""Faults on demand, for tests of whoever calls the service.

A fault is asked for on the control port:

    POST /faults {"verb": "execute", "fault": "lose", "times": 1, ...}

verb is execute, lookup, fence, check, or connection (before anything is
read); times (default 1) is how often it happens.  GET /books answers with all
that the ledger knows, GET /bodies?memo with the bodies a memo came with, GET
/faults with what is still to happen, DELETE /faults forgets that.
"""

import base64
import json
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class CutShort(Exception):
    """The connection is to end without another word."""


def reset(connection):
    """End a connection with a reset instead of an orderly close."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                              struct.pack("ii", 1, 0))
        if hasattr(connection, "unwrap"):       # TLS: without its good-bye
            socket.socket(fileno=connection.detach()).close()
        else:
            connection.close()
    except OSError:
        pass


class Faults:
    def __init__(self):
        self.lock = threading.Lock()
        self.pending = []
        self.changed = threading.Condition(self.lock)
        self.waiting = 0            # calls that hang

    def add(self, fault):
        with self.lock:
            self.pending.append(dict({"times": 1}, **fault))

    def clear(self):
        with self.lock:
            self.pending = []
            self.changed.notify_all()

    def take(self, verb):
        with self.lock:
            for fault in self.pending:
                if fault["verb"] == verb and fault["times"] > 0:
                    fault["times"] -= 1
                    return fault
        return None

    def hang(self, until):
        """Wait until the faults are cleared, or until these seconds passed."""
        deadline = time.monotonic() + until
        with self.lock:
            self.waiting += 1
            self.changed.wait_for(lambda: not self.pending,
                                  max(deadline - time.monotonic(), 0))
            self.waiting -= 1

    # -- before a connection is read -----------------------------------

    def at_connection(self, connection):
        """True if that was the end of it."""
        fault = self.take("connection")
        if fault is None:
            return False
        if fault["fault"] == "reset":
            reset(connection)
        elif fault["fault"] == "tls":           # this is no TLS
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            connection.close()
        elif fault["fault"] == "hang":
            self.hang(fault.get("seconds", 30))
            connection.close()
        return True

    # -- one call --------------------------------------------------------

    def serve(self, handler, verb, answer):
        fault = self.take(verb)
        if fault is None:
            handler.reply_answer(answer())
            return
        getattr(self, "fault_" + fault["fault"])(handler, fault, answer)

    def fault_delay(self, handler, fault, answer):
        """Late, by `seconds`."""
        self.hang(fault["seconds"])
        handler.reply_answer(answer())

    def fault_hang(self, handler, fault, answer):
        """Nothing is done and nothing is said."""
        self.hang(fault.get("seconds", 30))
        raise CutShort

    def fault_reset_before(self, handler, fault, answer):
        """Reset before anything was done."""
        reset(handler.connection)
        raise CutShort

    def fault_lose(self, handler, fault, answer):
        """Done, and the reply is lost."""
        answer()
        reset(handler.connection)
        raise CutShort

    def fault_reset_in(self, handler, fault, answer):
        """Done, and reset in the middle of the reply."""
        body = json.dumps(answer()).encode()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                            % len(body))
        handler.wfile.write(body[:len(body) // 2])
        handler.wfile.flush()
        reset(handler.connection)
        raise CutShort

    def fault_reset_after(self, handler, fault, answer):
        """Done, and reset once the whole reply is read."""
        handler.reply_answer(answer())
        time.sleep(0.2)             # a reset overtakes what was sent
        reset(handler.connection)
        raise CutShort

    def fault_close(self, handler, fault, answer):
        """Done, replied, and the kept connection closed in silence."""
        handler.reply_answer(answer())
        raise CutShort

    def fault_twice(self, handler, fault, answer):
        """The request comes twice, as if the network had doubled it."""
        answer()
        handler.reply_answer(answer())

    def fault_slow(self, handler, fault, answer):
        """Done, and the reply comes byte by byte."""
        body = json.dumps(answer()).encode()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                            % len(body))
        for byte in body:
            handler.wfile.write(bytes([byte]))
            handler.wfile.flush()
            time.sleep(fault.get("seconds", 0.5))

    def fault_status(self, handler, fault, answer):
        """Status `status` with `body` (an object, a text, or nothing) and
        `headers`; done before that if `do` is true.  A body "answer" is the
        answer itself, with the members of `change` put over it."""
        told = answer() if fault.get("do") else {}
        body = fault.get("body", "")
        if body == "answer":
            told.update(fault.get("change", {}))
            body = {key: told[key] for key in told if told[key] is not None}
        if fault.get("echo"):       # what a careless service might do
            given = handler.headers.get("Authorization", "")
            body = dict(body, reason="you are " + given.split(" ")[-1])
        text = body if isinstance(body, str) else json.dumps(body)
        data = text.encode() if not fault.get("base64") \
            else base64.b64decode(text)
        data += b" " * fault.get("pad", 0)
        handler.send_response(fault["status"])
        for name, value in fault.get("headers", {}).items():
            handler.send_header(name, value)
        if fault["status"] not in (204, 304):
            handler.send_header("Content-Length", str(len(data)))
        handler.end_headers()
        if fault["status"] not in (204, 304):
            handler.wfile.write(data)

    def fault_raw(self, handler, fault, answer):
        """These bytes and no others; done before that if `do` is true."""
        if fault.get("do"):
            answer()
        handler.wfile.write(base64.b64decode(fault["bytes"]))
        handler.wfile.flush()
        raise CutShort

    def fault_partial(self, handler, fault, answer):
        """Done, and an orderly close before the end of the reply."""
        body = json.dumps(answer()).encode()
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
                            % (len(body) + 10))
        handler.wfile.write(body)
        raise CutShort

    # -- the control port --------------------------------------------------

    def control(self, port, service):
        faults = self

        class Control(BaseHTTPRequestHandler):
            def tell(self, answer):
                body = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self):
                length = int(self.headers["Content-Length"])
                faults.add(json.loads(self.rfile.read(length)))
                self.tell({})

            def do_DELETE(self):
                faults.clear()
                self.tell({})

            def do_GET(self):
                path, _, argument = self.path.partition("?")
                if path == "/books":
                    self.tell(service.books.dump())
                elif path == "/bodies":
                    self.tell([body.decode() for body in
                               service.bodies.get(argument, [])])
                else:
                    self.tell({"pending": faults.pending,
                               "waiting": faults.waiting})

            def log_message(self, format, *args):
                pass

        return ThreadingHTTPServer(("127.0.0.1", port), Control)
