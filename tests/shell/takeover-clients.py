# SPDX-License-Identifier: Apache-2.0
"""Clients of a hypernbd that is replaced: takeover-clients.py SOCKET COUNT. On the line "check" of the standard input all must
have been served again; the answer is "ok" and the longest time that a request took since the last one. Any error of any
client ends the program with 1. A third of the clients reads without end, a third writes and reads back, some of these MiB at a time, the rest is
idle between checks, each in its own way: between two requests, or after so many bytes of the next one's header."""
import os
import random
import sys
import threading
import time

from server import Server
from transmission import BLOCK_STATUS, FUA, MODES, Request, read, write

PATIENCE_S = 60
REGION, LARGE = 96 << 10, 2 << 20


class Failed(Exception):
    pass


def same(got, wanted, what):
    if got != wanted:
        raise Failed(f"{what}: other bytes than expected")


class Client:
    def __init__(self, number, reading, writing):
        self.number, self.mode = number, MODES[number % 3]
        self.random = random.Random(number)
        self.rounds, self.longest_s = 0, 0.0
        self.kind = ("reader", "writer", "idle")[number // 3 % 3]
        self.server = writing if self.kind == "writer" or self.number % 2 else reading
        contexts = [] if self.mode == "simple" else ["base:allocation"]
        self.transmission = self.server.enter(self.mode, contexts)
        # A region of its own, at odd places.
        self.is_large = self.kind == "writer" and number % 4 == 0
        self.at = (16 << 20) + number * LARGE + 7 if self.is_large else number * REGION + 7
        self.content = None

    def one(self, request):
        began = time.monotonic()
        reply = self.transmission.one(request)
        self.longest_s = max(self.longest_s, time.monotonic() - began)
        if reply.error:
            raise Failed(f"client {self.number}: error {reply.error}")
        return reply

    def write_and_read(self):
        self.content = self.random.randbytes(LARGE if self.is_large else self.random.choice((512, 4096, 40000)))
        self.one(write(self.at, self.content, self.random.choice((0, 0, FUA))))
        same(bytes(self.one(read(self.at, len(self.content))).data), self.content, f"client {self.number}")

    def read_some(self):
        length = self.random.choice((512, 4096, 300000))
        at = self.random.randrange(self.server.size - length)
        if self.server.writable:
            self.one(read(at, length))
        else:
            with open(self.server.raw, "rb") as raw:
                raw.seek(at)
                same(bytes(self.one(read(at, length)).data), raw.read(length), f"client {self.number}")

    def turn(self):
        if self.kind == "writer":
            self.write_and_read()
        else:
            self.read_some()
        if self.mode != "simple":
            self.one(Request(BLOCK_STATUS, 0, 1 << 20))
        self.rounds += 1

    def leave_half(self):
        """Sends a part of a request, which is of another length for each client."""
        if self.server.writable:
            self.content = self.random.randbytes(20000)
            request = write(self.at, self.content)
        else:
            request = read(4096, 512)
        data = self.transmission.encode(request)
        cut = self.number % 28
        self.transmission.connection.send(data[:cut])
        self.rest = request, data[cut:]

    def send_rest(self):
        request, data = self.rest
        self.transmission.connection.send(data)
        (reply, ) = self.transmission.replies([request])
        if reply.error:
            raise Failed(f"client {self.number}: error {reply.error}")
        if self.server.writable:
            same(bytes(self.one(read(self.at, len(self.content))).data), self.content, f"client {self.number}")
        self.turn()


class Clients:
    def __init__(self, socket, count):
        reading = Server(socket, "reading", "reading.raw", False, PATIENCE_S)
        writing = Server(socket, "writing", "writing.raw", True, PATIENCE_S)
        self.clients = [Client(number, reading, writing) for number in range(count)]
        self.idle = [client for client in self.clients if client.kind == "idle"]
        self.busy = [client for client in self.clients if client.kind != "idle"]
        self.ending = False
        self.threads = [threading.Thread(target=self.run, args=(client, ), daemon=True) for client in self.busy]

    def run(self, client):
        try:
            while not self.ending:
                client.turn()
        except BaseException as error:  # pylint: disable=broad-except
            print(f"client {client.number} ({client.kind}, {client.mode}): {error!r}", file=sys.stderr, flush=True)
            os._exit(1)

    def check(self):
        """Two more rounds of each, since the first may have begun before."""
        wanted = {client: client.rounds + 2 for client in self.busy}
        for client in self.idle:
            client.send_rest()
        deadline = time.monotonic() + PATIENCE_S
        while any(client.rounds < rounds for client, rounds in wanted.items()):
            if time.monotonic() > deadline:
                raise Failed("a client is not served any more")
            time.sleep(0.01)
        longest_s = max(client.longest_s for client in self.clients)
        for client in self.clients:
            client.longest_s = 0.0
        for client in self.idle:
            client.leave_half()
        return longest_s


def main():
    clients = Clients(sys.argv[1], int(sys.argv[2]))
    for client in clients.idle:
        client.leave_half()
    for thread in clients.threads:
        thread.start()
    for line in sys.stdin:
        if line.strip() == "end":
            break
        print("ok", round(clients.check() * 1000), flush=True)
    for client in clients.idle:
        client.send_rest()
    clients.ending = True
    for thread in clients.threads:
        thread.join()
    for client in clients.clients:
        if client.kind == "writer":
            with open("writing.raw", "rb") as file:
                file.seek(client.at)
                same(file.read(len(client.content)), client.content, f"the file, client {client.number}")
    print("ended", flush=True)


main()
