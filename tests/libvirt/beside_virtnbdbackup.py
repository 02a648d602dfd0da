# SPDX-License-Identifier: Apache-2.0
"""Another program's backups are restored to the same bytes as ours. It takes none of a guest that has checkpoints which are not its own, so there are
two guests, which are told to write the same."""
import subprocess

from lib import *
from volumes import *

here = pathlib.Path.cwd()
with Lab(here / "lab") as lab:
    ours, other = lab.guest("web01", {"vda": "64M"}), lab.guest("web02", {"vda": "64M"})
    disk, twin = Disk(ours, "vda"), Disk(other, "vda")
    ours.start()
    other.start()
    volume = Volume(here / "web01.volume", lab.place("web01/vda"))
    theirs = lab.folder / "theirs"

    def run(*command):
        done = subprocess.run([str(word) for word in command], text=True, capture_output=True, stdin=subprocess.DEVNULL, cwd=lab.folder,
                              env=dict(os.environ, HOME=str(lab.folder)))
        check(done.returncode == 0, f"{command}: {done.stdout[-800:]}{done.stderr[-800:]}")

    def back_up(level):
        # Its scratch file and socket are QEMU's to make.
        run("virtnbdbackup", "-U", lab.uri, "-d", "web02", "-l", level, "-o", theirs, "-S", lab.folder / "scratch", "-n", "-f",
            lab.folder / "run/theirs.sock")

    claim("one full and two incremental backups of ours, and of virtnbdbackup's")
    states = []
    for number in range(3):
        for sector, count in ((2000 + 5000 * number, 300), (100000 + 128 * number, 130)):
            fill = os.urandom(1)
            disk.write(sector, count, fill)
            twin.write(sector, count, fill)
        told = volume.sync(disk)
        check(told["compared-all"] == (number == 0), told)
        back_up("inc" if number else "full")
        states.append(bytes(disk.content))
    for guest in (ours, other):
        guest.stop()
        check(guest.content("vda") == disk.content, f"the image of {guest.name} is not what it wrote")

    claim("each is restored to the same bytes")
    for number, state in enumerate(states):
        target = lab.folder / f"restored{number}"
        run("virtnbdrestore", "-U", lab.uri, "-i", theirs, "-o", target, "-n", "-u", f"virtnbdbackup.{number}", "-L", here / "restore.log", "-f",
            lab.folder / "run/theirs.sock")
        image = next(path for path in target.iterdir() if "vda" in path.name)
        run("qemu-img", "convert", "-f", "qcow2", "-O", "raw", image, here / "theirs.raw")
        hyperctl("export", f"{volume.folder}@{number + 1}", here / f"ours{number}.raw")
        check((here / f"ours{number}.raw").read_bytes() == state, f"ours of state {number} is not what the guest wrote")
        check((here / "theirs.raw").read_bytes() == state, f"theirs of state {number} is not what the guest wrote")
