# SPDX-License-Identifier: Apache-2.0
"""hyperctl and volumes, for tests with a libvirt of their own."""
import hashlib
import json
import os
import subprocess

from lib import BUILD, check

HYPERCTL = BUILD / "tools" / "hyperctl"
LEAF = 64 << 10


class Failed(Exception):
    """`code` is the exit code, `message` what was said."""

    def __init__(self, arguments, done):
        super().__init__(f"hyperctl {' '.join(map(str, arguments))}: {done.returncode}: {done.stderr.strip()}")
        self.code, self.message = done.returncode, done.stderr


def hyperctl(*arguments, codes=(0,)):
    done = subprocess.run([HYPERCTL, *map(str, arguments)], text=True, stdin=subprocess.DEVNULL, capture_output=True)
    if done.returncode not in codes:
        raise Failed(arguments, done)
    return json.loads(done.stdout) if "--json" in arguments else done.stdout


def root_of(content):
    """The root hash as blockengine/volume/README.md defines it."""
    def sha(*parts):
        return hashlib.sha256(b"".join(parts)).digest()

    zeros = sha(b"\0", bytes(LEAF))
    row = [sha(b"\0", content[at:at + LEAF].ljust(LEAF, b"\0")) for at in range(0, len(content), LEAF)]
    while len(row) > 1:
        if len(row) % 2:
            row.append(zeros)
        row = [sha(b"\1", left, right) for left, right in zip(row[::2], row[1::2])]
        zeros = sha(b"\1", zeros, zeros)
    return sha(b"\2", len(content).to_bytes(8, "big"), row[0]).hex()


class Disk:
    """A guest's disk, and what it has to hold by what the guest was told to write: a plain array."""

    def __init__(self, guest, target):
        self.guest, self.target = guest, target
        self.content = bytearray(guest.content(target))

    def write(self, sector, count, fill):
        self.guest.write(self.target, sector, count, fill)
        self.content[sector * 512:(sector + count) * 512] = fill * 512 * count

    @property
    def root(self):
        return root_of(self.content)


class Volume:
    """One that keeps `source`, and what its generations have to be."""

    def __init__(self, folder, source):
        self.folder, self.source, self.roots = folder, source, {}

    def sync(self, disk, *options):
        told = hyperctl("sync", "--create", *options, "--json", self.source, self.folder)
        check(told["root"] == disk.root, f"generation {told['generation']} is not what the guest wrote")
        self.roots[told["generation"]] = told["root"]
        return told

    def log(self):
        return hyperctl("volume", "log", "--json", self.folder)

    def verify(self):
        """Every generation is still what it was, by its hashes and by what it reads as."""
        hyperctl("volume", "verify", "--all", self.folder)
        for number, root in self.roots.items():
            read = hyperctl("root", f"{self.folder}@{number}").strip()
            check(read == root, f"generation {number} reads as {read}, and was {root}")
