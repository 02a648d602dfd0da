# SPDX-License-Identifier: Apache-2.0
import fcntl
import json
import subprocess
import threading

from lib import *
from volumes import *

here = pathlib.Path.cwd()
with Lab(here / "lab") as lab:
    guest = lab.guest("web01", {"vda": "64M", "vdb": "16M"})
    disks = {target: Disk(guest, target) for target in ("vda", "vdb")}
    guest.start()
    folder, source = here / "web01", lab.place("web01")

    def sync(*options):
        return {told["disk"].rpartition("/")[2]: told["report"] for told in hyperctl("sync", "--all-disks", "--json", *options, source, folder)}

    def generation(target):
        """The newest generation's bytes."""
        out = here / "out.raw"
        hyperctl("export", folder / f"{target}.volume", out)
        found = out.read_bytes()
        out.unlink()
        return found

    claim("volumes that are not there are only made where that is wished")
    refused = subprocess.run([HYPERCTL, "sync", "--all-disks", source, folder], capture_output=True, text=True)
    check(refused.returncode == 1 and not folder.exists(), refused.stderr)

    claim("all disks of a running guest go into a volume each")
    disks["vda"].write(3000, 20, b"a")
    disks["vdb"].write(300, 5, b"b")
    told = sync("--create")
    for target, disk in disks.items():
        check(told[target]["compared-all"] and told[target]["root"] == disk.root, told)

    claim("the next time only what changed in each")
    disks["vdb"].write(4000, 1, b"c")
    told = sync()
    check(not told["vda"]["compared-all"] and told["vda"]["read-bytes"] == 0, told)
    check(not told["vdb"]["compared-all"] and told["vdb"]["read-bytes"] == BLOCK, told)
    check(len(guest.checkpoints()) == 1 and not lab.leftovers() and not guest.has_job(), lab.leftovers())

    claim("they are of one moment: a guest that writes the same to one disk and then to the other is never seen the other way round")
    stop = threading.Event()

    def write_on():
        number = 0
        while not stop.is_set():
            number = number % 250 + 1
            for target in ("vda", "vdb"):
                guest.write(target, 5000, 1, bytes([number]))

    writer = threading.Thread(target=write_on)
    writer.start()
    try:
        seen = []
        for _ in range(4):
            sync()
            first, second = (generation(target)[5000 * 512] for target in ("vda", "vdb"))
            seen.append((first, second))
    finally:
        stop.set()
        writer.join()
    check(all(first in (second, second % 250 + 1) for first, second in seen), seen)
    check(len(set(seen)) > 1, f"the guest did not write: {seen}")

    claim("where one volume cannot be written the others are, and the next sync is right for all")
    with open(folder / "vdb.volume" / "lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        partly = subprocess.run([HYPERCTL, "sync", "--all-disks", "--json", source, folder], capture_output=True, text=True)
    check(partly.returncode == 1 and "vdb.volume" in partly.stderr, partly.stderr)
    check([told["disk"] for told in json.loads(partly.stdout)] == ["web01/vda"], partly.stdout)
    guest.stop()
    told = sync()
    for target in disks:
        check(told[target]["root"] == root_of(guest.content(target)), told)
        hyperctl("volume", "verify", "--all", folder / f"{target}.volume")
    check(not lab.leftovers(), lab.leftovers())

    claim("what is no machine is refused")
    refused = subprocess.run([HYPERCTL, "sync", "--all-disks", "disk.raw", folder], capture_output=True, text=True)
    check(refused.returncode == 1 and "--all-disks" in refused.stderr, refused.stderr)
