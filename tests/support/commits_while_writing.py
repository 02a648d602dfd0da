# SPDX-License-Identifier: Apache-2.0
"""Writes to a volume over NBD while it is committed, and checks every generation against a model.

    commits_while_writing.py HYPERCTL VOLUME CONTROL URI SERVER SEED

Each write has a number, which fills the units of 512 bytes that it wrote; zeros are 0. The client waits for each answer, so there is one order, and
a generation has to be what the disk was after one of the writes between the commit's beginning and its end: no other. At the end the server gets a
SIGKILL while a commit is under way. The next run, which is given the next server, first looks what is left: whatever was flushed, or newer.
"""
import json
import os
import pickle
import random
import signal
import socket
import subprocess
import sys

import nbd

UNIT = 512
UNITS = 8192
STATE = "writes.pickle"

hyperctl, volume, control, uri, server, seed = sys.argv[1:]
draw = random.Random(int(seed))


def fail(message):
    sys.exit(f"seed {seed}: {message}")


def content(number):
    return number.to_bytes(8, "little") * (UNIT // 8)


def connect(name):
    client = nbd.NBD()
    client.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
    client.connect_uri(uri.replace("///disk", f"///{name}"))
    return client


def read_all(client):
    if client.get_size() != UNIT * UNITS:
        fail(f"the disk has {client.get_size()} bytes")
    return client.pread(UNIT * UNITS, 0)


class Model:
    """What the disk was, and each write since."""

    def __init__(self, start):
        self.start, self.writes, self.now, self.flushed = bytes(start), [], bytearray(start), 0

    def write(self, first, count, number):
        self.writes.append((first, count, number))
        self.now[first * UNIT:(first + count) * UNIT] = content(number) * count

    def check_generation(self, number, begin, end):
        """It is what the disk was after one of the writes begin to end, counted from the start."""
        found = read_all(connect(f"disk@{number}"))
        state = bytearray(self.start)
        for i, (first, count, mark) in enumerate(self.writes[:end]):
            if i >= begin and state == found:
                return
            state[first * UNIT:(first + count) * UNIT] = content(mark) * count
        if state != found:
            fail(f"generation {number} is not what the disk was after any of the writes {begin} to {end}")

    def check_left(self, found):
        """Each unit is what it was at the last flush, or what was written to it since."""
        state = bytearray(self.start)
        for first, count, mark in self.writes[:self.flushed]:
            state[first * UNIT:(first + count) * UNIT] = content(mark) * count
        newer = {}
        for first, count, mark in self.writes[self.flushed:]:
            for unit in range(first, first + count):
                newer.setdefault(unit, []).append(content(mark))
        for unit in range(UNITS):
            part = found[unit * UNIT:(unit + 1) * UNIT]
            if part != state[unit * UNIT:(unit + 1) * UNIT] and part not in newer.get(unit, []):
                fail(f"unit {unit} has {part[:8].hex()}, which is neither flushed nor written since")


def generations():
    out = subprocess.run([hyperctl, "volume", "log", "--json", volume], check=True, stdout=subprocess.PIPE).stdout
    return [one["generation"] for one in json.loads(out)]


def check_extents(client, model):
    """What is said to be zero is."""
    zeros = 0

    def take(_context, offset, entries, _error):
        nonlocal zeros
        for length, flags in zip(entries[::2], entries[1::2]):
            if flags & nbd.STATE_ZERO:
                zeros += length
                if any(model.now[offset:offset + length]):
                    fail(f"{length} bytes at offset {offset} are said to be zero")
            offset += length

    at = 0
    while at < UNIT * UNITS:
        before = at
        client.block_status(MIB, at, take)
        at = before + MIB
    return zeros


MIB = 1 << 20
known = {}
client = connect("disk")
left = read_all(client)
if os.path.exists(STATE):
    last, begin, number, known = pickle.load(open(STATE, "rb"))
    last.check_left(left)
    # A commit that was under way may have come to its end.
    for generation in set(generations()) - set(known):
        print("the commit before the kill had ended")
        last.check_generation(generation, begin, len(last.writes))
        known[generation] = read_all(connect(f"disk@{generation}"))
else:
    number = 1
    for generation in generations():
        known[generation] = read_all(connect(f"disk@{generation}"))
model = Model(left)


def change():
    global number
    number += 1
    count = draw.choice([1, 3, 8, 64, 200])
    first = draw.randrange(UNITS - count)
    kind = draw.random()
    if kind < 0.7:
        model.write(first, count, number)
        client.pwrite(content(number) * count, first * UNIT)
    elif kind < 0.85:
        model.write(first, count, 0)
        client.zero(count * UNIT, first * UNIT)
    elif kind < 0.95:
        model.write(first, count, number)
        client.pwrite(content(number) * count, first * UNIT, nbd.CMD_FLAG_FUA)
        model.flushed = len(model.writes)
    else:
        client.flush()
        model.flushed = len(model.writes)


def begin_commit():
    return subprocess.Popen([hyperctl, "volume", "commit", "--json", "--control", control, volume], stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT)


during = 0
for _ in range(4):
    for _ in range(draw.randrange(1, 60)):
        change()
    begin = len(model.writes)
    commit = begin_commit()
    while commit.poll() is None:
        change()
    during += len(model.writes) - begin
    said = commit.stdout.read().decode()
    if commit.returncode:
        fail(f"commit: {said}")
    generation = json.loads(said)["generation"]
    model.check_generation(generation, begin, len(model.writes))
    known[generation] = read_all(connect(f"disk@{generation}"))
    model.flushed = max(model.flushed, begin)
    if read_all(client) != model.now:
        fail(f"the disk differs after generation {generation}")
    client.zero(MIB, MIB)
    model.write(MIB // UNIT, MIB // UNIT, 0)
    if check_extents(client, model) < MIB:
        fail("zeros are not told")
if during == 0:
    fail("nothing was written while it was committed")
for generation, bytes_then in known.items():
    if read_all(connect(f"disk@{generation}")) != bytes_then:
        fail(f"generation {generation} has changed")

# Asked for without hyperctl, which would commit by itself what the kill leaves.
begin = len(model.writes)
asked = socket.socket(socket.AF_UNIX)
asked.connect(control)
asked.sendall(f"POST /v1/commits/{volume} HTTP/1.1\r\nHost: control\r\nContent-Length: 0\r\n\r\n".encode())
if b" 200 " not in asked.recv(4096):
    fail("the server does not begin a commit")
for _ in range(draw.randrange(40)):
    change()
os.kill(int(server), signal.SIGKILL)
pickle.dump((model, begin, number, known), open(STATE, "wb"))
print(f"{during} writes during 4 commits")
