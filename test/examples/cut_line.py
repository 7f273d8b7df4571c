"""A line between a client and the server that breaks where a test says.

It listens on a unix socket, passes each connection on to the server's, and
reads the PostgreSQL protocol that runs over it.  Each connection takes the
next word of `plan`, and `otherwise` when the plan is used up:

    pass            nothing is done to it
    refuse          it ends before the server hears of it
    before commit   it ends when the client sends COMMIT; the server never
                    gets it
    after commit    the server executes COMMIT; then its backend is
                    terminated, and the client gets nothing of the answer
"""

import os
import socket
import struct
import threading

MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Cut(Exception):
    """The line breaks here."""


class CutLine:
    """terminate: called with the process id of a backend, to end it."""

    def __init__(self, listen_path, server_path, terminate):
        self.server_path = server_path
        self.terminate = terminate
        self.plan = []
        self.otherwise = "pass"
        self.cuts = 0
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(listen_path)
        self.listener.listen()
        threading.Thread(target=self.accept, daemon=True).start()

    def follow(self, *plan, otherwise="pass"):
        self.plan = list(plan)
        self.otherwise = otherwise
        self.cuts = 0

    def accept(self):
        while True:
            client, _ = self.listener.accept()
            fate = self.plan.pop(0) if self.plan else self.otherwise
            if fate == "refuse":
                self.cuts += 1
                client.close()
                continue
            Connection(self, client, fate).start()


class Connection:
    def __init__(self, line, client, fate):
        self.line = line
        self.client = client
        self.fate = fate
        self.server = socket.socket(socket.AF_UNIX)
        self.server.connect(line.server_path)
        self.pid = None

    def start(self):
        for way in (self.requests, self.answers):
            threading.Thread(target=self.run, args=(way,), daemon=True).start()

    def run(self, way):
        try:
            way()
        except Cut:
            self.line.cuts += 1
        except (OSError, EOFError):
            pass
        for end in (self.client, self.server):
            try:
                end.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def requests(self):
        """From the client to the server.  The first message has no type."""
        head = read(self.client, 4)
        self.server.sendall(head + read(self.client, length_of(head) - 4))
        while True:
            kind, message = read_message(self.client)
            if (self.fate == "before commit" and kind in (b"Q", b"P")
                    and b"COMMIT\0" in message):
                raise Cut
            self.server.sendall(message)

    def answers(self):
        """From the server to the client."""
        while True:
            kind, message = read_message(self.server)
            if kind == b"K":
                self.pid = struct.unpack("!I", message[5:9])[0]
            if (self.fate == "after commit" and kind == b"C"
                    and message[5:] == b"COMMIT\0"):
                self.line.terminate(self.pid)
                raise Cut
            self.client.sendall(message)


def read(end, size):
    data = b""
    while len(data) < size:
        more = end.recv(size - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def read_message(end):
    head = read(end, 5)
    return head[:1], head + read(end, length_of(head[1:]) - 4)


def length_of(four_bytes):
    length = struct.unpack("!I", four_bytes)[0]
    if not 4 <= length <= MAX_MESSAGE_BYTES:
        raise ValueError("not the PostgreSQL protocol")
    return length


def socket_path(directory, port):
    return os.path.join(directory, f".s.PGSQL.{port}")
