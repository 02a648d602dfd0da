# SPDX-License-Identifier: Apache-2.0
"""KILLS: how many random instants; SEED: of the random numbers."""
import random
import subprocess
import time

from lib import *
from volumes import *

here = pathlib.Path.cwd()
kills, seed = int(os.environ.get("KILLS", 12)), int(os.environ.get("SEED", random.randrange(1 << 30)))
print(f"seed {seed}")
draw = random.Random(seed)
with Lab(here / "lab") as lab:
    guest = lab.guest("web01", {"vda": "32M"})
    disk = Disk(guest, "vda")
    guest.start()
    (here / "cp.xml").write_text("<domaincheckpoint><name>theirs</name></domaincheckpoint>")
    lab.virsh("checkpoint-create", "web01", here / "cp.xml")
    volume = Volume(here / "web01.volume", lab.place("web01/vda"))

    def write():
        for _ in range(draw.randrange(1, 4)):
            disk.write(draw.randrange(1024, 60000), draw.randrange(1, 128), bytes([draw.randrange(256)]))

    def checkpoints():
        return {name for name in guest.checkpoints() if name != "theirs"}

    def bitmaps():
        """Of QEMU that runs."""
        told = json.loads(lab.virsh("qemu-monitor-command", "web01", '{"execute": "query-block"}'))
        return {bitmap["name"] for device in told["return"] for bitmap in device["inserted"].get("dirty-bitmaps", [])} - {"theirs"}

    def marked():
        """The checkpoints that generations are of."""
        return {one["change-id"].split("/")[0] for one in volume.log()} if volume.folder.exists() else set()

    def look(round_number):
        """What there is, is in the ledger, or stands for a generation."""
        there = {("scratch file", str(path)) for path in (lab.folder / "scratch").iterdir()}
        there |= {("checkpoint", name) for name in checkpoints() - marked()}
        job = guest.has_job()
        ledger = hyperctl("cleanup", "--dry-run", "--json", codes=(0, 3))
        known = {entry["id"] for entry in ledger}
        check(all(name in known for _, name in there), f"round {round_number}: {there} are there, {known} is known")
        check(not job or any(entry["kind"] == "backup" for entry in ledger), f"round {round_number}: nobody knows of the backup job")
        return len(ledger) > 0

    def clean_up(round_number):
        left = hyperctl("cleanup", "--json", codes=(0, 3))
        check(all(entry["state"] == "removed" for entry in left), f"round {round_number}: {left}")
        check(hyperctl("cleanup", "--json") == [], f"round {round_number}: the ledger is not empty")
        check(not lab.leftovers() and not guest.has_job(), f"round {round_number}: {lab.leftovers()} is left")
        check(checkpoints() <= marked(), f"round {round_number}: {checkpoints()} are left, {marked()} stand for generations")
        check(bitmaps() == checkpoints(), f"round {round_number}: bitmaps {bitmaps()}, checkpoints {checkpoints()}")
        check("theirs" in guest.checkpoints(), f"round {round_number}: another program's checkpoint is gone")

    claim("a sync that is not killed leaves its checkpoint and nothing else")
    write()
    volume.sync(disk)
    write()
    started = time.monotonic()
    volume.sync(disk)
    usual_s = time.monotonic() - started
    clean_up(0)
    check(len(checkpoints()) == 1, checkpoints())

    claim(f"after a kill at any of {kills} instants nothing is there that is not known, and the next sync is right")
    killed = left = committed = whole = 0
    for number in range(1, kills + 1):
        write()
        before = volume.log()[-1]["generation"]
        process = subprocess.Popen([HYPERCTL, "sync", volume.source, volume.folder], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                   stdin=subprocess.DEVNULL)
        root = disk.root
        time.sleep(draw.uniform(0, 1.05 * usual_s))
        process.kill()
        killed += process.wait() == -9
        left += look(number)
        newest = volume.log()[-1]
        if newest["generation"] != before:
            committed += 1
            check(newest["root"] == root, f"round {number}: what was committed before the kill is wrong")
            volume.roots[newest["generation"]] = root
        # Some are killed after others, without anything between.
        if draw.randrange(3):
            clean_up(number)
        if draw.randrange(2):
            clean_up(number)
            write()
            whole += volume.sync(disk)["compared-all"]
    print(f"  {killed} of {kills} were killed before their end ({usual_s:.2f} s), {left} left something, {committed} had committed; "
          f"{whole} of the syncs that followed compared everything")

    claim("in the end there is one checkpoint, and every generation is what it was")
    clean_up(kills)
    write()
    volume.sync(disk)
    clean_up(kills)
    check(len(checkpoints()) == 1, checkpoints())
    volume.verify()
    ours = checkpoints()
    guest.stop()
    check(guest.content("vda") == disk.content, "the image is not what the guest wrote")
    check(set(guest.bitmaps("vda")) == ours | {"theirs"}, guest.bitmaps("vda"))
