# SPDX-License-Identifier: Apache-2.0
import subprocess

from lib import *

here = pathlib.Path.cwd()
with Lab(here / "lab") as lab:
    guest = lab.guest("web01", {"vda": "64M", "vdb": "16M raw"})
    with Driver("libvirt", here / "ledger", lab.place("web01")) as driver:
        claim("a guest that never ran is read, and not written to")
        image = guest.disks["vda"].read_bytes()
        told = driver.take("web01/vda", "web01/vdb")
        check([disk["consistency"] for disk in told] == [AT_REST, AT_REST], told)
        check(marks(told) == [None, None], told)
        check(driver.copy(0, here / "copy") == guest.content("vda"), "vda differs from its image")
        check(driver.copy(1, here / "copy") == guest.content("vdb"), "vdb differs from its image")
        check(driver.zeros(0), "no zeros are known")
        driver("release kept")
        check(guest.disks["vda"].read_bytes() == image, "the image was changed")
        check(not lab.leftovers() and not driver("ledger")["entries"], "something is left")

        claim("the bitmaps that QEMU left say what changed since a snapshot of the running guest")
        guest.start()
        first = driver.take("web01/vda")
        content = driver.copy(0, here / "copy")
        driver("release kept")
        guest.write("vda", 7000, 300, b"q")
        guest.stop()
        second = driver.take("web01/vda", since=marks(first))
        runs = driver.changed(0)
        new = driver.copy(0, here / "copy")
        differ = blocks_that_differ(content, new)
        check(differ and differ <= blocks_of(runs) and len(blocks_of(runs)) <= len(differ) + 2, f"{differ} differ, {runs} are told")
        check(applied(content, new, runs) == new == guest.content("vda"), "the changes do not lead to the new content")
        driver("release kept")

        claim("... and go on to count when it runs again")
        # Of the same checkpoint, but another state.
        check(marks(second)[0].startswith(marks(first)[0] + "/"), second)
        guest.start()
        guest.write("vda", 20000, 10, b"r")
        third = driver.take("web01/vda", since=marks(second))
        runs = driver.changed(0)
        check(applied(new, driver.copy(0, here / "copy"), runs) == driver.copy(0, here / "copy2"), "changes are missing")
        check(len(blocks_of(runs)) < 10, runs)
        driver("release kept")
        guest.stop()

        for target, kind in (("vda", "a qcow2"), ("vdb", "a raw")):
            claim(f"while {kind} disk is read the guest cannot be started; it can afterwards")
            driver.take(f"web01/{target}")
            done = lab.virsh("start", "web01", check=False)
            check(done.returncode != 0 and "lock" in done.stderr, done)
            driver("release kept")
            guest.start()
            guest.stop()

        claim("an image that another process writes is not read")
        writer = subprocess.Popen(["qemu-io", "-f", "raw", guest.disks["vdb"]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            # When it answers it has its lock. Before, it would not get it while we have ours.
            writer.stdin.write(b"length\n")
            writer.stdin.flush()
            check(b"MiB" in writer.stdout.readline(), "qemu-io did not open the image")
            message = refused(RETRY_LATER, driver, "take track web01/vdb -")
            check("written" in message, message)
        finally:
            writer.communicate(b"quit\n")

        claim("an image that was put over the old one has its bitmaps not believed")
        overlay = lab.folder / "disks/overlay.qcow2"
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", guest.disks["vda"], overlay], check=True)
        mark = marks(third)[0].split("/")[0]
        subprocess.run(["qemu-img", "bitmap", "--add", overlay, mark], check=True)
        xml = lab.virsh("dumpxml", "web01", "--inactive").replace(str(guest.disks["vda"]), str(overlay))
        (here / "web01.xml").write_text(xml)
        lab.virsh("define", here / "web01.xml")
        driver.take("web01/vda", since=marks(third))
        check("overlay.qcow2 now" in refused(TRACKING_LOST, driver, "changed 0"), "it is")
        driver("release kept")
