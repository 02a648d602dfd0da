# SPDX-License-Identifier: Apache-2.0
import shutil
import subprocess
import xml.etree.ElementTree as ET

from lib import *
from volumes import *

here = pathlib.Path.cwd()


def owned(path):
    """QEMU may write it."""
    if os.getuid() == 0:
        shutil.chown(path, "nobody")


with Lab(here / "lab") as lab:
    connect = lab.uri
    nic = "<interface type='user'><mac address='52:54:00:12:34:56'/><model type='virtio'/></interface>"
    guest = lab.guest("web01", {"vda": "64M", "vdb": "16M"}, extra=nic)
    disk = Disk(guest, "vda")
    guest.start()
    volume = Volume(here / "web01.volume", lab.place("web01/vda"))
    disk.write(2048, 300, b"A")
    volume.sync(disk)

    def companions(generation):
        return {one["name"]: one for one in hyperctl("volume", "companions", "--json", f"{volume.folder}@{generation}")}

    claim("a generation has the guest's description, as it was then")
    then = lab.virsh("dumpxml", "--inactive", "web01")
    told = companions(1)
    check(set(told) == {"domain.xml", "domain-live.xml"}, told)
    check(volume.log()[0]["companions"] == list(told.values()), volume.log())
    definition = ET.fromstring(then)
    ET.SubElement(definition, "description").text = "another one"
    (here / "changed.xml").write_text(ET.tostring(definition, encoding="unicode"))
    lab.virsh("define", here / "changed.xml")
    disk.write(5000, 3, b"B")
    volume.sync(disk)
    for generation in (1, 2):
        hyperctl("volume", "companions", "--output", here / f"kept{generation}", f"{volume.folder}@{generation}")
    check((here / "kept1/domain.xml").read_text().strip() == then.strip(), "domain.xml is not what it was")
    check((here / "kept1/domain.xml").stat().st_mode & 0o077 == 0, "others may read it")
    check("another one" in (here / "kept2/domain.xml").read_text(), "the new domain.xml is not there")
    try:
        hyperctl("volume", "companions", "--output", here / "kept1", f"{volume.folder}@1")
    except Failed as problem:
        check("kept1/domain" in problem.message, problem)
    else:
        check(False, "a file was overwritten")
    hyperctl("volume", "companions", "--output", here / "kept1", "--force", f"{volume.folder}@1")

    claim("a restored guest boots beside the one that it was made of, and has the disk of its generation")
    disk.write(5000, 3, b"C")
    for form, generation in (("qcow2", 1), ("raw", 2)):
        file, name = lab.folder / f"disks/restored.{form}", f"restored-{form}"
        told = hyperctl("restore", f"{volume.folder}@{generation}", f"--libvirt={connect}", "--name", name, "--to", file, "--json")
        check(told["disks"][0]["root"] == volume.roots[generation] and told["disks"][0]["format"] == form, told)
        subprocess.run(["qemu-img", "convert", "-f", form, "-O", "raw", file, here / "raw"], check=True)
        check(root_of((here / "raw").read_bytes()) == volume.roots[generation], "the file is not what the generation is")
        made = ET.fromstring(lab.virsh("dumpxml", "--inactive", name))
        check([one.get("dev") for one in made.findall("devices/disk/target")] == ["vda"], "other disks are there")
        check(made.findtext("uuid") != definition.findtext("uuid"), "it has the same UUID")
        check(made.find("devices/interface/mac").get("address") != "52:54:00:12:34:56", "it has the same MAC address")
        check(("another one" == made.findtext("description")) == (generation == 2), "it is of another generation's description")
        check(lab.virsh("domstate", name).strip() == "shut off", "it runs")
        owned(file)
        boot_once(lab, guest, name)
        check(hyperctl("root", "-f", form, file).strip() == volume.roots[generation], "booting it has changed its disk")
        lab.virsh("undefine", name)
    guest.write("vda", 5000, 1, b"D")

    claim("a guest over a generation boots at once, and writes into a file of its own")
    mount = here / "mount"
    mount.mkdir()
    door = subprocess.Popen([BUILD / "fusefs" / "hyperfs", "-f", "-o", "allow_other", volume.folder, mount])
    try:
        eventually("hyperfs mounts", lambda: (mount / "web01@1.raw").exists())
        file = lab.folder / "disks/over.qcow2"
        shutil.copy(here / "raw", here / "web01@1.raw")  # of generation 2
        for wrong, said in ((mount / "web01@2.raw", "must end in @1"), (mount / "web01.raw", "must end in @1"), (here / "web01@1.raw", "differs")):
            try:
                hyperctl("restore", f"{volume.folder}@1", f"--libvirt={connect}", "--name", "over", "--to", file, "--over", wrong)
            except Failed as problem:
                check(said in problem.message, problem)
            else:
                check(False, f"{wrong} was taken")
        told = hyperctl("restore", f"{volume.folder}@1", f"--libvirt={connect}", "--name", "over", "--to", file, "--over", mount / "web01@1.raw", "--json")
        check(told["disks"][0]["bytes-written"] < 1 << 20 and file.stat().st_size < 1 << 20, "it was copied")
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", file, here / "raw"], check=True)
        check(root_of((here / "raw").read_bytes()) == volume.roots[1], "it does not read as the generation")
        owned(file)
        boot_once(lab, guest, "over")
        lab.virsh("undefine", "over")
    finally:
        door.terminate()
        door.wait()
    door = subprocess.Popen([BUILD / "nbdserver" / "hypernbd", "--socket", here / "nbd.sock", volume.folder])
    try:
        eventually("hypernbd listens", lambda: (here / "nbd.sock").exists())
        file = lab.folder / "disks/over-nbd.qcow2"
        hyperctl("restore", f"{volume.folder}@2", f"--libvirt={connect}", "--name", "over", "--to", file,
                 "--over", f"nbd+unix:///web01@2?socket={here}/nbd.sock")
        subprocess.run(["qemu-img", "convert", "-f", "qcow2", "-O", "raw", file, here / "raw"], check=True)
        check(root_of((here / "raw").read_bytes()) == volume.roots[2], "it does not read as the generation")
        lab.virsh("undefine", "over")
    finally:
        door.terminate()
        door.wait()

    claim("what cannot be is refused before a disk is written")
    file = lab.folder / "disks/none.qcow2"
    plain = here / "plain.volume"
    subprocess.run(["qemu-img", "create", "-q", "-f", "raw", here / "plain.raw", "1M"], check=True)
    hyperctl("sync", "--create", here / "plain.raw", plain)
    for arguments, said in (((f"{volume.folder}@1", f"--libvirt={connect}", "--name", "web01", "--to", file), "there is a domain web01 already"),
                            ((plain, f"--libvirt={connect}", "--name", "web02", "--to", file), "no description"),
                            ((f"{volume.folder}@1", f"--libvirt={connect}", "--name", "web02", "--to", here / "plain.raw"), "plain.raw"),
                            ((f"{volume.folder}@1", f"--libvirt={connect}", "--name", "web02", "--to", here / "x.vhdx"), ".qcow2 or .raw"),
                            ((f"{volume.folder}@1", "--libvirt=qemu:///nowhere", "--name", "web02", "--to", file), "nowhere")):
        try:
            hyperctl("restore", *arguments)
        except Failed as problem:
            check(said in problem.message, problem)
        else:
            check(False, f"{said}: it was not refused")
    check(not file.exists() and "web02" not in lab.virsh("list", "--all", "--name"), "something was made")

    claim("a guest's UEFI variables are kept, and put back beside the disk")
    variables = lab.folder / "disks/vars.fd"
    variables.write_bytes(os.urandom(540672))
    owned(variables)
    guest.stop()
    described = lab.virsh("dumpxml", "--inactive", "web01").replace(
        "</os>", f"<loader readonly='yes' type='pflash'>/usr/share/none.fd</loader><nvram>{variables}</nvram></os>")
    (here / "uefi.xml").write_text(described)
    lab.virsh("define", here / "uefi.xml")
    disk.content = bytearray(guest.content("vda"))
    told = volume.sync(disk)
    kept = {one["name"]: one["size"] for one in told["companions"]}
    check(kept.get("nvram") == 540672, kept)
    hyperctl("restore", volume.folder, f"--libvirt={connect}", "--name", "uefi", "--to", file)
    check((lab.folder / "disks/none.qcow2.nvram").read_bytes() == variables.read_bytes(), "the variables are others")
    check(ET.fromstring(lab.virsh("dumpxml", "--inactive", "uefi")).findtext("os/nvram") == f"{file}.nvram", "the domain has other variables")
    lab.virsh("undefine", "uefi", "--keep-nvram")

    claim("a clone and a rollback have the companions of what they were made of")
    clone = here / "clone.volume"
    hyperctl("volume", "clone", f"{volume.folder}@1", clone)
    hyperctl("volume", "rollback", f"{volume.folder}@1")
    of_first = volume.log()[0]["companions"]
    check(hyperctl("volume", "log", "--json", clone)[0]["companions"] == of_first, "the clone has none")
    check(volume.log()[-1]["companions"] == of_first, "the rollback has none")

    claim("companions go with the last generation that has them, and a damaged one is found")
    files = {path.name for path in (volume.folder / "companions").iterdir()}
    gone = companions(2)["domain.xml"]["sha256"]
    check(gone in files, files)
    hyperctl("volume", "prune", f"{volume.folder}@2")
    left = {path.name for path in (volume.folder / "companions").iterdir()}
    kept = {one["sha256"] for generation in volume.log() for one in generation["companions"]}
    check(left == kept, f"{left} are there, {kept} are listed")
    hyperctl("volume", "verify", "--all", volume.folder)
    (volume.folder / "companions" / of_first[0]["sha256"]).write_text("damaged")
    for command in (("volume", "verify", "--all", volume.folder), ("volume", "repair", volume.folder)):
        try:
            hyperctl(*command)
        except Failed as problem:
            check(problem.code == 2, problem)
        else:
            check(False, f"{command}: damage was not found")
    try:
        hyperctl("restore", f"{volume.folder}@1", f"--libvirt={connect}", "--name", "web03", "--to", here / "web03.raw")
    except Failed as problem:
        check("domain" in problem.message, problem)
    else:
        check(False, "a damaged description was used")
