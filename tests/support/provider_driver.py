# SPDX-License-Identifier: Apache-2.0
"""A provider's module, driven through its C interface by provider_driver (see its source for the commands)."""
import json
import os
import pathlib
import subprocess

BUILD = pathlib.Path(os.environ["BUILD"])


class Refused(Exception):
    """`failure` is one of hyper_failure."""

    def __init__(self, command, told):
        super().__init__(f"{command}: {told}")
        self.failure, self.message = told["failure"], told.get("message", "")


class Driver:
    def __init__(self, provider, ledger, uri):
        module = BUILD / "providers" / f"hyper-provider-{provider}.so"
        self.process = subprocess.Popen([BUILD / "tests" / "provider_driver", module, ledger, uri], text=True, stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE)
        self.hear("open")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait()

    def send(self, command):
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()

    def hear(self, command):
        line = self.process.stdout.readline()
        if not line:
            raise EOFError(f"{command}: the driver has ended")
        told = json.loads(line)
        if told["failure"] != 0:
            raise Refused(command, told)
        return told

    def __call__(self, command):
        self.send(command)
        return self.hear(command)

    def take(self, *disks, track=True, since=()):
        """Of several disks; `since`: change ids, in the same order. Tells what describe() says of each."""
        since = [*since, *[None] * (len(disks) - len(since))]
        self("take " + ("track" if track else "plain") + "".join(f" {disk} {mark or '-'}" for disk, mark in zip(disks, since)))
        return [self(f"describe {number}") for number in range(len(disks))]

    def copy(self, number, path):
        self(f"copy {number} {path}")
        return pathlib.Path(path).read_bytes()

    def changed(self, number):
        return [tuple(run) for run in self(f"changed {number}")["runs"]]

    def zeros(self, number):
        return [tuple(run) for run in self(f"extents {number}")["runs"]]

    def kill(self):
        self.process.kill()
        self.process.wait()
