# SPDX-License-Identifier: Apache-2.0
"""KILLS: how many random instants; SEED: of the random numbers."""
import random
import threading
import time

from lib import *

here = pathlib.Path.cwd()
kills, seed = int(os.environ.get("KILLS", 12)), int(os.environ.get("SEED", random.randrange(1 << 30)))
print(f"seed {seed}")
draw = random.Random(seed)
with Lab(here / "lab") as lab:
    guest = lab.guest("web01", {"vda": "16M", "vdb": "8M"})
    guest.start()
    (here / "cp.xml").write_text("<domaincheckpoint><name>theirs</name></domaincheckpoint>")
    lab.virsh("checkpoint-create", "web01", here / "cp.xml")
    disks = ("web01/vda", "web01/vdb")

    def client():
        return Driver("libvirt", here / "ledger", lab.place("web01"))

    def clean_up():
        with client() as other:
            problems = other("cleanup")["problems"]
            check(not problems, problems)
            check(not other("ledger")["entries"], "the ledger is not empty")
        check(not lab.leftovers(), lab.leftovers())
        check(not guest.has_job(), "a backup job is left")

    def ours():
        return sorted(name for name in guest.checkpoints() if name != "theirs")

    class Volume:
        """What a host keeps: contents, and the marks that go with them."""
        contents, known = [b"", b""], []

        def sync(self, driver):
            told = driver.take(*disks, since=self.known)
            new = []
            for number in (0, 1):
                content = driver.copy(number, here / "copy")
                if self.known:
                    try:
                        content = applied(self.contents[number], content, driver.changed(number))
                    except Refused as problem:
                        check(problem.failure == TRACKING_LOST, problem)
                        self.lost += 1
                new.append(content)
            self.contents, self.known = new, marks(told)
            driver("release kept")
            self.released = True

    claim("what a client left that was killed while it held a snapshot is removed, and no more than that")
    volume = Volume()
    volume.lost = 0
    with client() as driver:
        volume.sync(driver)
    started = time.monotonic()
    with client() as driver:
        volume.sync(driver)
    usual_s = time.monotonic() - started
    base = ours()
    check(len(base) == 1, base)
    driver = client()
    driver.take(*disks, since=volume.known)
    driver.kill()
    check(guest.has_job() and len(lab.leftovers()) == 3 and len(ours()) == 2, "there is nothing to clean up")
    clean_up()
    check(ours() == base and "theirs" in guest.checkpoints(), guest.checkpoints())

    claim("what others made is refused, whatever the ledger says")
    with client() as driver:
        for kind, name in (("checkpoint", "theirs"), ("scratch", "/etc/hostname"), ("scratch", "hyper-x.scratch"), ("backup", "theirs"),
                           ("socket", str(lab.socket)), ("reader", str(guest.serial)), ("domain", "hyper-x")):
            refused(BAD_CONFIGURATION, driver, f"clean {kind} {name}")
        (here / "job.xml").write_text(f"<domainbackup mode='pull'><server transport='unix' socket='{lab.folder}/scratch/t.sock'/></domainbackup>")
        lab.virsh("backup-begin", "web01", here / "job.xml")
        driver("clean backup hyper-abc")
        driver(f"clean scratch {lab.folder}/scratch/hyper-abc-vda.scratch")
        check(guest.has_job(), "another program's job was ended")
        lab.virsh("domjobabort", "web01")
        for path in (lab.folder / "scratch").iterdir():
            path.unlink()

    claim(f"after a kill at any of {kills} instants nothing is left but what the last sync keeps")
    orphans, where, waiting = 0, 0, set()
    for number in range(kills):
        guest.write("vda", draw.randrange(1024, 30000), draw.randrange(1, 128), bytes([draw.randrange(256)]))
        guest.write("vdb", draw.randrange(16000), 1, bytes([draw.randrange(256)]))
        driver = client()
        killer = threading.Timer(draw.uniform(0, 1.1 * usual_s), driver.kill)
        volume.released = False
        before = volume.known
        killer.start()
        try:
            volume.sync(driver)
        except (EOFError, BrokenPipeError):
            where += 1
        killer.join()
        clean_up()
        kept = {mark.split("/")[0] for mark in volume.known}
        left = set(ours()) - kept
        # Committed, but not yet released: then the mark of the sync before is known by nobody until the next one.
        older = {mark.split("/")[0] for mark in before} if volume.known != before and not volume.released else set()
        orphans += len(left - waiting)
        check(left <= older | waiting, f"round {number}: {left} is left; known are {kept} and {older}")
        waiting = left
        check("theirs" in guest.checkpoints(), "another program's checkpoint is gone")
    print(f"  {where} of {kills} were killed before their end ({usual_s:.2f} s); {orphans} older checkpoints waited for the next sync, {volume.lost} disks lost track")

    claim("the next sync is right, and leaves one checkpoint")
    guest.write("vda", 2000, 5, b"e")
    with client() as driver:
        volume.sync(driver)
        check(not driver("ledger")["entries"], "the ledger is not empty")
    check(len(ours()) == 1, ours())
    guest.stop()
    for number, target in enumerate(("vda", "vdb")):
        check(volume.contents[number] == guest.content(target), f"{target} is not what was synced")

    claim("a client killed while it reads a stopped guest leaves nothing that runs or locks the image")
    driver = client()
    driver.take(*disks)
    driver.kill()
    check(len(lab.leftovers()) == 4, lab.leftovers())
    clean_up()
    for number in range(kills // 4):
        driver = client()
        driver.send("take track web01/vda - web01/vdb -")
        threading.Event().wait(draw.uniform(0, 0.15))
        driver.kill()
        clean_up()
    guest.start()
    check("theirs" in guest.checkpoints(), guest.checkpoints())
    guest.stop()
    check("theirs" in guest.bitmaps("vda"), guest.bitmaps("vda"))
