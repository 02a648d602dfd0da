# SPDX-License-Identifier: Apache-2.0
import shutil
import subprocess
import xml.etree.ElementTree as ET

from lib import *
from volumes import *

here = pathlib.Path.cwd()
tpm = "<tpm model='tpm-tis'><backend type='emulator' version='2.0'/></tpm>"

with Lab(here / "lab") as lab:
    # Where the lab's libvirt keeps the state of TPMs.
    os.environ["XDG_CONFIG_HOME"] = str(lab.folder / "config")
    guest = lab.guest("web01", {"vda": "64M", "vdb": "16M raw"}, extra=tpm)
    disks = {target: Disk(guest, target) for target in ("vda", "vdb")}
    guest.start()
    folder, source = here / "web01", lab.place("web01")
    moments = []

    def sync():
        told = {one["disk"].rpartition("/")[2]: one["report"] for one in hyperctl("sync", "--all-disks", "--create", "--json", source, folder)}
        check({target: one["root"] for target, one in told.items()} == {target: disk.root for target, disk in disks.items()}, told)
        moments.append({target: (one["generation"], one["root"]) for target, one in told.items()})

    def state_of(name):
        uuid = lab.virsh("domuuid", name).strip()
        return lab.folder / "config/libvirt/qemu/swtpm" / uuid / "tpm2/tpm2-00.permall"

    def restore(what, name, to, *options):
        return hyperctl("restore", what, f"--libvirt={lab.uri}", "--name", name, "--to", lab.folder / "disks" / to, *options)

    def refused_restore(said, *arguments):
        try:
            restore(*arguments)
        except Failed as problem:
            check(said in problem.message, problem)
        else:
            check(False, f"{arguments} was not refused")

    disks["vda"].write(3000, 20, b"a")
    disks["vdb"].write(300, 5, b"b")
    sync()
    disks["vdb"].write(400, 5, b"c")
    Volume(folder / "vdb.volume", lab.place("web01/vdb")).sync(disks["vdb"])
    disks["vda"].write(3010, 5, b"d")
    disks["vdb"].write(402, 1, b"e")
    sync()
    check([moment["vdb"][0] for moment in moments] == [1, 3], moments)

    claim("a restored machine has all disks of one moment, whatever their generations' numbers, and the state of its TPM; and boots")
    for moment, form in zip(moments, ("qcow2", "raw")):
        number, name = moment["vda"][0], f"restored-{form}"
        told = restore(f"{folder}/vda.volume@{number}", name, f"{name}.{form}", "--all-disks", "--json")
        got = {pathlib.Path(disk["volume"]).stem: (disk["generation"], disk["root"]) for disk in told["disks"]}
        check(got == moment, f"{got} instead of {moment}")
        made = ET.fromstring(lab.virsh("dumpxml", "--inactive", name))
        files = {disk.find("target").get("dev"): disk.find("source").get("file") for disk in made.findall("devices/disk")}
        check(files == {target: str(lab.folder / f"disks/{name}-{target}.{form}") for target in disks}, files)
        for target, file in files.items():
            check(hyperctl("root", "-f", form, file).strip() == moment[target][1], f"{file} is not what {target} was")
            if os.getuid() == 0:
                shutil.chown(file, "nobody")
        kept = here / f"kept-{form}"
        hyperctl("volume", "companions", "--output", kept, f"{folder}/vda.volume@{number}")
        state = state_of(name)
        check(state.read_bytes() == (kept / "tpm2-00.permall").read_bytes(), "the TPM has another state")
        check(state != state_of("web01") and state.stat().st_mode & 0o077 == 0, "others may read it")
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "nobody", state.parent.parent], check=True)
        boot_once(lab, guest, name)
        lab.virsh("undefine", name)

    claim("a disk that the machine had and does not get is told")
    done = subprocess.run([HYPERCTL, "restore", f"{folder}/vda.volume@1", f"--libvirt={lab.uri}", "--name", "one", "--to", lab.folder / "disks/one.raw"],
                          capture_output=True, text=True)
    check(done.returncode == 0 and "without disk vdb" in done.stderr and "vda," not in done.stderr, done.stderr)
    lab.virsh("undefine", "one")

    claim("where the state of the TPM cannot be put back the machine is made without, and that is told")
    os.environ["XDG_CONFIG_HOME"] = str(lab.folder / "disks/one.raw")
    done = subprocess.run([HYPERCTL, "restore", f"{folder}/vda.volume@1", "--all-disks", f"--libvirt={lab.uri}", "--name", "two",
                           "--to", lab.folder / "disks/two.raw"], capture_output=True, text=True)
    check(done.returncode == 0 and "the TPM is not put back" in done.stderr, done.stderr)
    check("without disk" not in done.stderr, done.stderr)
    lab.virsh("undefine", "two")

    claim("what cannot be is refused before a disk is written")
    refused_restore("not synced with other disks", f"{folder}/vdb.volume@2", "web02", "web02.raw", "--all-disks")
    (lab.folder / "disks/web02-vdb.raw").write_text("there already")
    refused_restore("web02-vdb.raw", f"{folder}/vda.volume@1", "web02", "web02.raw", "--all-disks")
    refused_restore("excludes", f"{folder}/vda.volume@1", "web02", "web02.qcow2", "--all-disks", "--over", "nbd://none/vda@1")
    check(not (lab.folder / "disks/web02-vda.raw").exists() and "web02" not in lab.virsh("list", "--all", "--name"), "something was made")
