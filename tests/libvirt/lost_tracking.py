# SPDX-License-Identifier: Apache-2.0
import subprocess

from lib import *

here = pathlib.Path.cwd()
with Lab(here / "lab") as lab:
    guest = lab.guest("web01", {"vda": "64M", "vdb": "32M"})
    guest.start()
    with Driver("libvirt", here / "ledger", lab.place("web01")) as driver:
        def full(since, reason):
            """A snapshot for which nothing is known of changes is taken, and is right; its content, and its marks."""
            told = driver.take("web01/vda", "web01/vdb", since=since)
            message = refused(TRACKING_LOST, driver, "changed 0")
            check(reason in message, f"\"{reason}\" is not in: {message}")
            content = driver.copy(0, here / "copy")
            driver("release kept")
            check(guest.checkpoints() == [marks(told)[0].split("/")[0]], guest.checkpoints())
            return content, marks(told)

        def incremental(since, content):
            guest.write("vda", 5000, 20, os.urandom(1))
            told = driver.take("web01/vda", "web01/vdb", since=since)
            runs = driver.changed(0)
            new = driver.copy(0, here / "copy")
            check(runs and sum(length for _, length in runs) <= 2 * BLOCK, runs)
            check(applied(content, new, runs) == new, "the changes do not lead to the new content")
            driver("release kept")
            return new, marks(told)

        claim("after QEMU was killed everything is compared, and a fresh checkpoint takes the broken one's place")
        content, known = full((), "nothing to compare with")
        content, known = incremental(known, content)
        # Only a bitmap that QEMU has once read from the image is in it, marked as in use, when QEMU is killed.
        guest.stop()
        guest.start()
        guest.write("vda", 9000, 20, b"k")
        guest.kill()
        check(len(guest.bitmaps("vda")) == 1, guest.bitmaps("vda"))
        guest.start()
        findings = driver("check")["findings"]
        check([finding for finding in findings if "inconsistent" in finding["text"] and finding["verdict"] == 1], findings)
        content, known = full(known, "inconsistent")
        check(content[9000 * 512:9020 * 512] == b"k" * 20 * 512, "what was written before the kill is not there")
        content, known = incremental(known, content)

        claim("... also where it was killed before the bitmap was ever in the image")
        guest.kill()
        check(not guest.bitmaps("vda"), guest.bitmaps("vda"))
        guest.start()
        content, known = full(known, "missing")

        claim("a checkpoint that somebody deleted is found missing")
        lab.virsh("checkpoint-delete", "web01", known[0].split("/")[0])
        content, known = full(known, "no checkpoint")
        content, known = incremental(known, content)

        claim("a bitmap that is gone under libvirt's checkpoint is found missing")
        guest.stop()
        check(len(guest.bitmaps("vda")) == 1, guest.bitmaps("vda"))
        subprocess.run(["qemu-img", "bitmap", "--remove", guest.disks["vda"], guest.bitmaps("vda")[0]], check=True)
        guest.start()
        content, known = full(known, "missing")
        content, known = incremental(known, content)

        claim("a disk that was resized is compared whole")
        lab.virsh("blockresize", "web01", "vda", "80M")
        content, known = full(known, "resized")
        check(len(content) == 80 << 20, len(content))
        content, known = incremental(known, content)

        claim("change ids of other disks and other providers are not believed")
        _, known = full([known[1], known[0]], "another disk")

        claim("after it was killed a stopped guest's bitmap is not believed either")
        guest.stop()
        guest.start()
        guest.kill()
        told = driver.take("web01/vda", since=known)
        check("inconsistent" in refused(TRACKING_LOST, driver, "changed 0"), "no reason is given")
        check(told[0]["change_id"] is None, told)
        driver("release kept")
