# SPDX-License-Identifier: Apache-2.0
"""Figure 17 of bench/bench: the disk of a running guest, beside virtnbdbackup.

Each has a guest of its own, since virtnbdbackup takes none that has checkpoints of others: that of the tests, under TCG, with a libvirtd of
their own; its disk is a qcow2 that begins with the disk of figures 1 to 6. What is made is durable, as in figures 12 to 16, and not
compressed.
"""
import os
import pathlib
import random
import shutil
import subprocess
import sys
import time

from servers import run

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests/support"))
from libvirt_lab import Lab

BLOCK = 64 << 10


class GuestFigures:
    """Needs what Bench has: contest(), say(), `disk`, and `guest_size`, in bytes."""

    def figure17(self):
        """The disk of a running guest, in full and where 1 % of its blocks changed, against virtnbdbackup"""
        needed = [tool for tool in ("libvirtd", "virsh", "nasm", "qemu-system-x86_64")
                  if not shutil.which(tool, path=os.environ["PATH"] + ":/usr/sbin")]
        if needed:
            self.say(f"\nLeft out: {', '.join(needed)} not installed.")
            return
        os.chmod(self.scratch, 0o711)  # QEMU runs as another user
        with Lab(self.path("lab")) as lab:
            guests = [lab.guest(name, {"vda": str(self.guest_size)}) for name in ("ours", "theirs")]
            for guest in guests:
                image = str(guest.disks["vda"])
                run("qemu-img", "convert", "-n", "-f", "raw", "-O", "qcow2", "--target-is-zero", self.disk, image)
                run("qemu-io", "-f", "qcow2", "-c", f"write -q -s {lab.folder}/boot 0 512", image)
                guest.start()
            self.compare_with_virtnbdbackup(lab, *guests)

    def compare_with_virtnbdbackup(self, lab, ours, other):
        volume, theirs = lab.folder / "web01.volume", lab.folder / "theirs"
        environment = dict(os.environ, HYPER_ROOT=str(lab.folder / "hyper"), HYPER_PROVIDERS=f"{self.build}/providers", HOME=str(lab.folder))

        def timed(*command):
            began = time.monotonic()
            run(*map(str, command), env=environment)
            return time.monotonic() - began

        def change(guest):
            blocks = self.guest_size // BLOCK
            for block in random.sample(range(1, blocks), max(1, blocks // 100)):
                guest.write("vda", block * 128, 127, os.urandom(1))
            subprocess.run(["sync"], check=True)

        def sync():
            return timed(f"{self.build}/tools/hyperctl", "sync", lab.place("ours/vda"), volume)

        def back_up(level):
            took = timed("virtnbdbackup", "-U", lab.uri, "-d", "theirs", "-l", level, "-o", theirs, "-S", lab.folder / "scratch", "-n", "-f",
                         lab.folder / "run/theirs.sock")
            return took + timed("sync", "--file-system", theirs)

        def first_sync():
            for name in ours.checkpoints():
                lab.virsh("checkpoint-delete", "ours", name)
            shutil.rmtree(volume, ignore_errors=True)
            timed(f"{self.build}/tools/hyperctl", "volume", "create", "--no-compress", volume)
            return sync()

        def first_backup():
            shutil.rmtree(theirs, ignore_errors=True)
            return back_up("full")

        def changed(guest, then):
            change(guest)
            return then()

        size = f"{self.guest_size / (1 << 30):.4g} GiB"
        self.contest(f"{size}, in full", "s", {"hyperctl sync": first_sync, "virtnbdbackup -l full": first_backup}, ["hyperctl sync"],
                     ["virtnbdbackup -l full"], "less")
        self.contest(f"{size}, of which 1 % changed, scattered", "s",
                     {"hyperctl sync": lambda: changed(ours, sync), "virtnbdbackup -l inc": lambda: changed(other, lambda: back_up("inc"))},
                     ["hyperctl sync"], ["virtnbdbackup -l inc"], "less")
