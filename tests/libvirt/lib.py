# SPDX-License-Identifier: Apache-2.0
"""What the tests of the libvirt provider share. Each is started by the shell test of its name, in a scratch folder."""
import os
import pathlib
import signal
import socket
import sys

sys.path.insert(0, str(pathlib.Path(os.environ["SRC"]) / "tests/support"))

from libvirt_lab import Lab, eventually  # noqa: E402, F401
from provider_driver import BUILD, Driver, Refused  # noqa: E402, F401

RETRY_LATER, SNAPSHOT_GONE, TRACKING_LOST, NOT_ALLOWED, BAD_CONFIGURATION = 1, 3, 4, 6, 7
CRASH_CONSISTENT, APPLICATION_CONSISTENT, AT_REST = 0, 1, 2
BLOCK = 64 << 10  # of QEMU's bitmaps

signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def claim(text):
    print(f"- {text}", flush=True)


def check(truth, *told):
    if not truth:
        raise SystemExit(" ".join(["FAILED:", *map(str, told)]))


def refused(failure, command, *words):
    """The message of a command that has to fail in this way."""
    try:
        command(*words)
    except Refused as problem:
        check(problem.failure == failure, f"{words} failed with {problem.failure} instead of {failure}: {problem.message}")
        return problem.message
    raise SystemExit(f"FAILED: {words} did not fail")


def boot_once(lab, guest, name):
    """The machine `name`, which was made of `guest`, starts, asks for something to do, and is stopped."""
    lab.virsh("start", name)
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(60)
        line.connect(f"{guest.serial}.{name}")
        check(line.recv(1) == b"?", f"{name} does not boot")
    lab.virsh("destroy", name, "--graceful")


def blocks_that_differ(old, new):
    check(len(old) == len(new), f"{len(old)} bytes and {len(new)} bytes")
    return {at for at in range(0, len(new), BLOCK) if old[at:at + BLOCK] != new[at:at + BLOCK]}


def blocks_of(runs):
    return {at for offset, length in runs for at in range(offset // BLOCK * BLOCK, offset + length, BLOCK)}


def applied(old, new, runs):
    """The old content with these runs of the new."""
    content = bytearray(old)
    for offset, length in runs:
        content[offset:offset + length] = new[offset:offset + length]
    return bytes(content)


def marks(told):
    return [disk["change_id"] for disk in told]
