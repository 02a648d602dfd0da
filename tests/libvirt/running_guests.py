# SPDX-License-Identifier: Apache-2.0
from lib import *

here = pathlib.Path.cwd()
with Lab(here / "lab") as lab:
    guest = lab.guest("web01", {"vda": "64M", "vdb": "32M", "vdc": "16M raw"})
    guest.start()
    with Driver("libvirt", here / "ledger", lab.place("web01")) as driver:
        claim("lists a guest's disks with their sizes, and which can be tracked")
        found = {disk["name"]: disk for disk in driver("list")["disks"]}
        check({name: (disk["size"], disk["tracks"]) for name, disk in found.items()} ==
              {"web01/vda": (64 << 20, True), "web01/vdb": (32 << 20, True), "web01/vdc": (16 << 20, False)}, found)
        check("running, qcow2 on" in found["web01/vda"]["detail"], found)

        claim("a check finds nothing bad, and says what is doubtful")
        findings = driver("check")["findings"]
        check(not [finding for finding in findings if finding["verdict"] == 2], findings)
        check({"web01/vdc", "web01"} == {finding["what"] for finding in findings if finding["verdict"] == 1}, findings)

        claim("a full backup has what the guest wrote up to that moment, of all disks at one moment, and nothing later")
        for sector, fill in ((2048, b"A"), (8192, b"B"), (65536 - 127, b"C")):
            guest.write("vda", sector % 65536, 100, fill)
        guest.write("vdb", 512, 300, b"D")
        guest.write("vdc", 100, 10, b"E")
        first = driver.take("web01/vda", "web01/vdb", "web01/vdc")
        for target in ("vda", "vdb", "vdc"):
            guest.write(target, 512, 200, b"x")
        contents = [driver.copy(number, here / "copy") for number in range(3)]
        for number, (offset, length, fill) in enumerate(((2048, 100, b"A"), (512, 300, b"D"), (100, 10, b"E"))):
            check(contents[number][offset * 512:(offset + length) * 512] == fill * length * 512, f"disk {number} lacks what was written")
        check(not any(b"x" * 512 in content for content in contents), "what was written later is in the backup")
        check([disk["size"] for disk in first] == [64 << 20, 32 << 20, 16 << 20], first)
        check({disk["consistency"] for disk in first} == {CRASH_CONSISTENT}, first)
        check(first[0]["disk_id"].startswith("libvirt:") and first[0]["disk_id"].endswith("/vda"), first)
        check(first[2]["change_id"] is None, "a raw disk was marked")

        claim("zeros are told where zeros are, and only there")
        runs = driver.zeros(0)
        check(sum(length for _, length in runs) > 60 << 20, runs)
        check(not any(contents[0][offset:offset + length].strip(b"\0") for offset, length in runs), "data is called zero")

        claim("the description of the guest is kept beside it")
        names = driver(f"companions {here}")["names"]
        check(names == ["domain.xml", "domain-live.xml"], names)
        check("<name>web01</name>" in (here / "domain.xml").read_text(), "domain.xml is no description")

        claim("while a job runs another is refused, and it is said whose the first is")
        with Driver("libvirt", here / "ledger", lab.place("web01")) as other:
            message = refused(RETRY_LATER, other, "take plain web01/vda -")
            check("a backup job of hyper" in message and str(lab.folder / "scratch") in message, message)

        claim("a release leaves the checkpoint and nothing else")
        check(len(lab.leftovers()) == 4, lab.leftovers())
        driver("release kept")
        check(not lab.leftovers() and not guest.has_job() and not driver("ledger")["entries"], "something is left")
        check(guest.checkpoints() == [marks(first)[0].split("/")[0]], guest.checkpoints())

        claim("an incremental backup tells the blocks that were written, and brings the old content to the new")
        guest.write("vda", 40000, 250, b"F")
        guest.write("vdb", 512, 1, b"G")
        second = driver.take("web01/vda", "web01/vdb", "web01/vdc", since=marks(first))
        guest.write("vda", 120, 1, b"y")
        for number in (0, 1):
            runs = driver.changed(number)
            new = driver.copy(number, here / "copy")
            differ = blocks_that_differ(contents[number], new)
            check(differ and differ <= blocks_of(runs), f"disk {number}: {differ} differ, {runs} are told")
            check(len(blocks_of(runs)) <= len(differ) + 2, f"disk {number}: {differ} differ, but {runs} are told")
            check(applied(contents[number], new, runs) == new, f"disk {number}: the changes do not lead to the new content")
            contents[number] = new
        refused(TRACKING_LOST, driver, "changed 2")
        driver("release kept")
        check(guest.checkpoints() == [marks(second)[0].split("/")[0]], f"the older checkpoint is still there: {guest.checkpoints()}")

        claim("an abandoned snapshot takes its checkpoint along, and the one before goes on to count")
        guest.write("vda", 3000, 10, b"H")
        driver.take("web01/vda", "web01/vdb", since=marks(second))
        driver("release abandoned")
        check(guest.checkpoints() == [marks(second)[0].split("/")[0]], guest.checkpoints())
        guest.write("vda", 120, 1, b"z")
        guest.write("vda", 50000, 10, b"I")
        third = driver.take("web01/vda", "web01/vdb", since=marks(second))
        runs = driver.changed(0)
        content = applied(contents[0], driver.copy(0, here / "copy"), runs)
        driver("release kept")

        claim("what was brought together so is what QEMU has on the disk when the guest has stopped")
        guest.stop()
        check(content == guest.content("vda"), "vda differs from the image")

        claim("another program's job is named, and neither it nor its checkpoint is touched")
        guest.start()
        (here / "job.xml").write_text(
            f"<domainbackup mode='pull'><server transport='unix' socket='{lab.folder}/scratch/theirs.sock'/><disks><disk name='vda' "
            f"backup='yes' type='file'><driver type='qcow2'/><scratch file='{lab.folder}/scratch/theirs'/></disk></disks></domainbackup>")
        (here / "cp.xml").write_text("<domaincheckpoint><name>theirs</name><disks><disk name='vda' checkpoint='bitmap'/>"
                                     "<disk name='vdc' checkpoint='no'/></disks></domaincheckpoint>")
        lab.virsh("checkpoint-create", "web01", here / "cp.xml")
        lab.virsh("backup-begin", "web01", here / "job.xml")
        message = refused(RETRY_LATER, driver, f"take track web01/vda {marks(third)[0]}")
        check("another program" in message and "theirs.sock" in message, message)
        check(guest.has_job(), "the job is gone")
        lab.virsh("domjobabort", "web01")
        fourth = driver.take("web01/vda", since=marks(third))
        driver("release kept")
        check("theirs" in guest.checkpoints(), guest.checkpoints())

        claim("names of no domain or disk, and options that make no sense, are refused as such")
        refused(BAD_CONFIGURATION, driver, "take plain web01/vdx -")
        refused(BAD_CONFIGURATION, driver, "take plain web02/vda -")
        refused(BAD_CONFIGURATION, driver, "take plain web01/vda - web01/vda -")
        for uri in ("libvirt://web01/vda?speed=1", "libvirt:///vda", "libvirt://web01/v%zz", lab.place("web01", quiesce="maybe")):
            try:
                Driver("libvirt", here / "ledger", uri)
            except Refused as problem:
                check(problem.failure == BAD_CONFIGURATION, problem)
            else:
                check(False, f"{uri} is taken")

        claim("quiesce=yes fails where no agent is, and leaves nothing")
        before = guest.checkpoints()
        with Driver("libvirt", here / "ledger", lab.place("web01", quiesce="yes")) as insisting:
            try:
                insisting.take("web01/vda")
            except Refused as problem:
                check("freeze" in problem.message, problem)
            else:
                check(False, "a snapshot was taken")
            check(not insisting("ledger")["entries"] and guest.checkpoints() == before and not guest.has_job(), "something is left")

        claim("a scratch folder in which QEMU may not write is named, and what to do")
        (here / "closed").mkdir(mode=0o555)
        with Driver("libvirt", here / "ledger", lab.place("web01", scratch=here / "closed")) as closed:
            message = refused(NOT_ALLOWED, closed, "take track web01/vda -")
            check(str(here / "closed") in message and "scratch=" in message, message)
            check(not closed("ledger")["entries"] and guest.checkpoints() == before, "something is left")

        claim("a snapshot whose guest is destroyed is gone, and says so")
        driver.take("web01/vda")
        guest.kill()
        refused(SNAPSHOT_GONE, driver, f"copy 0 {here}/copy")
        driver("release abandoned")
