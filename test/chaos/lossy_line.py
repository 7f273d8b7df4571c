#!/usr/bin/python3
"""A line to the bank that is slow and loses replies.

Listens on a unix socket, passes every connection on to another one, and
reads the PostgreSQL protocol that runs over it.  The reply to a call of
teller_remote.execute is kept back until the bank has said ReadyForQuery, so
the call is committed there; then it is passed on, late, or the connection is
cut in its place.  So a lost reply is always the reply of something that
happened.

    lossy_line.py --listen DIR --to DIR [--port 5432] [--delay SECONDS]
                  [--lose FRACTION | --lose-every N] [--seed N]

Ends on SIGTERM and then writes one line: calls, lost.
"""

import argparse
import asyncio
import os
import random
import signal
import struct
import sys

WHAT = b"teller_remote.execute"
MAX_MESSAGE_BYTES = 16 * 1024 * 1024


class Cut(Exception):
    """The line is cut here on purpose."""


class LossyLine:
    """Which replies get lost, and how many calls there were."""

    def __init__(self, delay=0.0, lose=0.0, lose_every=0, seed=1):
        self.delay = delay
        self.lose = lose
        self.lose_every = lose_every
        self.random = random.Random(seed)
        self.calls = 0
        self.lost = 0

    def loses_next(self):
        """Count one executed call; True if its reply gets lost."""
        self.calls += 1
        if self.lose_every:
            lost = self.calls % self.lose_every == 0
        else:
            lost = self.random.random() < self.lose
        self.lost += lost
        return lost

    async def serve(self, listen_path, bank_path):
        async def accept(reader, writer):
            await Connection(self).run(reader, writer, bank_path)

        return await asyncio.start_unix_server(accept, listen_path)


class Connection:
    """One connection of the worker, and ours to the bank for it."""

    def __init__(self, line):
        self.line = line
        self.is_call = False  # the request under way is an execute

    async def run(self, reader, writer, bank_path):
        try:
            bank_reader, bank_writer = await asyncio.open_unix_connection(bank_path)
        except OSError:
            writer.close()
            return
        ways = [
            asyncio.ensure_future(self.requests(reader, bank_writer)),
            asyncio.ensure_future(self.replies(bank_reader, writer)),
        ]
        try:
            # Whichever way ends first ends the connection.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            writer.close()
            bank_writer.close()

    async def requests(self, reader, bank_writer):
        """From the worker to the bank.  The first message has no type."""
        head = await reader.readexactly(4)
        bank_writer.write(head + await reader.readexactly(length_of(head) - 4))
        while True:
            head = await reader.readexactly(5)
            body = await reader.readexactly(length_of(head[1:]) - 4)
            if head[:1] in (b"P", b"Q") and WHAT in body:
                self.is_call = True
            bank_writer.write(head + body)
            await bank_writer.drain()

    async def replies(self, bank_reader, writer):
        """From the bank to the worker; the reply to a call as a whole."""
        kept = bytearray()
        while True:
            head = await bank_reader.readexactly(5)
            body = await bank_reader.readexactly(length_of(head[1:]) - 4)
            kept += head + body
            if self.is_call and head[:1] != b"Z":
                continue
            if self.is_call:
                self.is_call = False
                if self.line.delay > 0:
                    await pause(self.line.delay)
                if self.line.loses_next():
                    raise Cut
            writer.write(bytes(kept))
            kept.clear()
            await writer.drain()


def length_of(four_bytes):
    length = struct.unpack("!I", four_bytes)[0]
    if not 4 <= length <= MAX_MESSAGE_BYTES:
        raise ValueError("not the PostgreSQL protocol")
    return length


async def pause(seconds):
    """The slowness of the bank itself; nobody waits here for anything else."""
    loop = asyncio.get_running_loop()
    over = loop.create_future()
    timer = loop.call_later(seconds, over.set_result, None)
    try:
        await over
    finally:
        timer.cancel()


async def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--listen", required=True)
    parser.add_argument("--to", required=True)
    parser.add_argument("--port", type=int, default=5432)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--lose", type=float, default=0.0)
    parser.add_argument("--lose-every", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()

    line = LossyLine(options.delay, options.lose, options.lose_every, options.seed)
    name = ".s.PGSQL.%d" % options.port
    server = await line.serve(
        os.path.join(options.listen, name), os.path.join(options.to, name)
    )
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ended.set)
    await ended.wait()
    server.close()
    print("calls %d lost %d" % (line.calls, line.lost), flush=True)


if __name__ == "__main__":
    asyncio.run(main())
    sys.exit(0)
