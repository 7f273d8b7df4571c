#!/usr/bin/python3
"""The service that both contenders call: it executes everything, remembers each
memo, and keeps connections open.  As fast as Python has it, because it is not
what is measured.  Prints its port."""

import asyncio
import json

ANSWER = (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
          b"Content-Length: %d\r\n\r\n%s")


class Connection(asyncio.Protocol):
    answers = {}  # by memo: a repeat gets the same

    def connection_made(self, transport):
        self.transport = transport
        self.seen = b""

    def data_received(self, data):
        self.seen += data
        while True:
            head, end, rest = self.seen.partition(b"\r\n\r\n")
            if not end:
                return
            length = 0
            for line in head.split(b"\r\n")[1:]:
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
                elif name.lower() == b"expect":
                    self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            if len(rest) < length:
                return
            self.seen = rest[length:]
            self.answer(json.loads(rest[:length]))

    def answer(self, request):
        memo = request["memo"]
        body = self.answers.get(memo)
        if body is None:
            body = self.answers[memo] = json.dumps({
                "memo": memo, "status": "executed",
                "reference": str(len(self.answers)), "reason": None,
                "amount": request["amount"], "asset": request["asset"],
            }).encode()
        self.transport.write(ANSWER % (len(body), body))


async def main():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Connection, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
