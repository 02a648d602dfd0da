# SPDX-License-Identifier: Apache-2.0
import subprocess
import threading

from lib import *
from volumes import *

here = pathlib.Path.cwd()
with Lab(here / "lab") as lab:
    guest = lab.guest("web01", {"vda": "64M", "vdb": "16M"})
    disk = Disk(guest, "vda")
    guest.start()
    volume = Volume(here / "web01.volume", lab.place("web01/vda"))

    def incremental(older=()):
        """Only what the guest wrote since the checkpoint is read: two runs far apart, and what was synced while it was stopped."""
        places = os.urandom(2)
        first, second = 2000 + 100 * places[0], 60000 + 100 * places[1]
        disk.write(first, 200, os.urandom(1))
        disk.write(second, 5, os.urandom(1))
        told = volume.sync(disk)
        check(not told["compared-all"], told)
        blocks = {sector * 512 // BLOCK for start, count in ((first, 200), (second, 5), *older) for sector in range(start, start + count)}
        check(told["reported-bytes"] == len(blocks) * BLOCK, f"{len(blocks)} blocks were written: {told}")
        check(told["looked-at-bytes"] == told["read-bytes"] == told["reported-bytes"], told)
        check(told["different-bytes"] <= told["read-bytes"] and told["sampled-blocks"] > 0, told)
        return told

    def clean(checkpoints=1):
        check(not lab.leftovers() and not guest.has_job(), lab.leftovers())
        check(hyperctl("cleanup", "--dry-run", "--json") == [], "the ledger is not empty")
        check(len(guest.checkpoints()) == checkpoints, guest.checkpoints())

    claim("a first sync of a running guest is what the guest wrote, by a root that somebody else computed")
    disk.write(2048, 300, b"A")
    disk.write(100000, 10, b"B")
    told = volume.sync(disk)
    check(told["generation"] == 1 and told["compared-all"] and "no generation yet" in told["why-all"], told)
    check(told["read-bytes"] < 2 << 20, f"holes were read: {told}")
    clean()

    claim("an incremental sync reads the blocks that were written, and no others")
    for _ in range(2):
        incremental()
        clean()
    told = volume.sync(disk)
    check(not told["compared-all"] and told["reported-bytes"] == told["read-bytes"] == told["different-bytes"] == 0, told)

    claim("it is the guest's disk at one moment: what is written meanwhile comes with the next sync")
    stop = threading.Event()
    moment = root_of(disk.content)

    def write_on():
        sector = 40000
        while not stop.is_set():
            guest.write("vda", sector, 127, b"m")
            disk.content[sector * 512:(sector + 127) * 512] = b"m" * 127 * 512
            states.append(root_of(disk.content))
            sector += 127

    states = [moment]
    writer = threading.Thread(target=write_on)
    writer.start()
    told = hyperctl("sync", "--json", volume.source, volume.folder)
    stop.set()
    writer.join()
    # The guest may be told of a write just after the moment that has it.
    check(told["root"] in states, "the generation is of no moment")
    check(not told["compared-all"], told)
    volume.roots[told["generation"]] = told["root"]
    volume.sync(disk)

    claim("a paused guest's disk, read at the provider, has the root of the generation")
    incremental()
    lab.virsh("suspend", "web01")
    check(hyperctl("root", volume.source).strip() == disk.root, "the provider reads something else")
    lab.virsh("resume", "web01")
    clean()

    claim("after QEMU was killed everything is compared, said so, and the chain goes on")
    guest.stop()
    check(guest.content("vda") == disk.content, "the image is not what the guest wrote")
    guest.start()
    disk.write(9000, 20, b"k")
    guest.kill()
    guest.start()
    before = volume.log()
    told = volume.sync(disk)
    check(told["compared-all"] and "does not know what changed" in told["why-all"], told)
    check(told["different-bytes"] == BLOCK, f"one block differs: {told}")
    check(told["generation"] == before[-1]["generation"] + 1, told)
    clean()
    incremental()

    claim("... and so it is where the checkpoint was deleted by somebody")
    lab.virsh("checkpoint-delete", "web01", guest.checkpoints()[0])
    told = volume.sync(disk)
    check(told["compared-all"] and told["different-bytes"] == 0, told)
    incremental()

    claim("a stopped guest's disk is synced by what QEMU left in the image, and again")
    disk.write(30000, 3, b"s")
    guest.stop()
    for different in (BLOCK, 0):
        told = volume.sync(disk)
        check(not told["compared-all"] and told["reported-bytes"] == BLOCK and told["different-bytes"] == different, told)
    guest.start()
    incremental(older=((30000, 3),))

    claim("an interrupted sync of a stopped guest is not gone on with once the guest has run again")
    # Slow enough to be interrupted when a part of it is stored, and nothing else of it.
    disk.write(3000, 40 * 128, b"p")
    guest.stop()
    interrupted = subprocess.Popen([HYPERCTL, "sync", "--threads", "1", "--limit-rate", "1M", volume.source, volume.folder],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    data = max((volume.folder / "data").iterdir())
    size = data.stat().st_size
    eventually("something is stored", lambda: data.stat().st_size > size)
    interrupted.terminate()
    check("goes on there" in interrupted.communicate()[1], "it was not interrupted")
    guest.start()
    disk.write(3000, 1, b"q")
    guest.stop()
    told = volume.sync(disk)
    check(not told["resumed"], told)
    guest.start()
    incremental(older=((3000, 40 * 128),))

    claim("a resized disk is compared whole, and has its new size")
    lab.virsh("blockresize", "web01", "vda", "80M")
    disk.content.extend(bytes(16 << 20))
    told = volume.sync(disk)
    check(told["compared-all"] and told["size"] == 80 << 20, told)
    incremental()

    claim("two disks are two volumes, with marks of their own")
    other, second = Disk.__new__(Disk), Volume(here / "web01-vdb.volume", lab.place("web01/vdb"))
    other.guest, other.target, other.content = guest, "vdb", bytearray(16 << 20)
    other.write(100, 10, b"v")
    second.sync(other)
    check(len(guest.checkpoints()) == 2, guest.checkpoints())
    other.write(100, 1, b"w")
    told = second.sync(other)
    check(not told["compared-all"] and told["read-bytes"] == BLOCK, told)
    incremental()
    clean(2)

    claim("every generation is still what it was")
    volume.verify()
    second.verify()
    guest.stop()
    check(guest.content("vda") == disk.content, "the image is not what the guest wrote")
