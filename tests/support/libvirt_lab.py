# SPDX-License-Identifier: Apache-2.0
"""A libvirt of one's own, with guests that write to their disks when they are told to.

    lab = Lab(folder)                                   libvirtd in session mode, all of whose files are below the folder
    guest = lab.guest("web01", disks={"vda": "64M"})    defined, with qcow2 disks; .raw in a size's text: "64M raw"
    guest.start(); guest.write("vda", sector=2048, count=8, fill=b"A"); guest.stop(); guest.kill()
    lab.close()                                         ends what was started, by its pid

The guest is a boot sector (writing_guest.asm) under TCG, up in about two seconds. As root, libvirtd and QEMU run as "nobody", so that
a session daemon is what it is everywhere; else as the user. Several labs may run at a time.
"""
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).parent


def eventually(what, found, seconds=30):
    """What `found` gives as soon as it is true."""
    end = time.monotonic() + seconds
    while True:
        value = found()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Lab:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.guests, self.daemon = [], None
        for name in ("run", "config/libvirt", "cache", "data", "disks", "scratch"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "config/libvirt/qemu.conf").write_text('stdio_handler = "file"\n')
        # The socket's name has to fit into 107 bytes.
        self.socket = self.folder / "run/libvirt/libvirt-sock"
        self.uri = f"qemu:///session?socket={self.socket}"
        subprocess.run(["nasm", "-f", "bin", "-o", self.folder / "boot", HERE / "writing_guest.asm"], check=True)
        self.start_daemon()

    def start_daemon(self):
        command = [shutil.which("libvirtd", path=os.environ["PATH"] + ":/usr/sbin"), "-t", "0"]
        if os.getuid() == 0:
            subprocess.run(["chown", "-R", "nobody", self.folder], check=True)
            self.folder.chmod(0o755)
            command = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups", "--inh-caps=-all", *command]
        environment = dict(os.environ, HOME=str(self.folder), XDG_RUNTIME_DIR=str(self.folder / "run"),
                           XDG_CONFIG_HOME=str(self.folder / "config"), XDG_CACHE_HOME=str(self.folder / "cache"),
                           XDG_DATA_HOME=str(self.folder / "data"))
        with open(self.folder / "libvirtd.log", "a") as log:
            self.daemon = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                           cwd=self.folder, start_new_session=True)
        eventually("libvirtd listens", lambda: self.virsh("list", check=False).returncode == 0)

    def stop_daemon(self):
        """Guests run on."""
        if self.daemon.poll() is not None:
            raise RuntimeError(f"libvirtd has ended with {self.daemon.returncode}")
        self.daemon.terminate()
        self.daemon.wait(20)
        self.daemon = None

    def virsh(self, *arguments, check=True, **options):
        done = subprocess.run(["virsh", "-q", "-c", self.uri, *map(str, arguments)], text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, **options)
        if check and done.returncode != 0:
            raise RuntimeError(f"virsh {arguments}: {done.stderr.strip()}")
        return done.stdout if check else done

    def guest(self, name, disks, **options):
        guest = Guest(self, name, disks, **options)
        self.guests.append(guest)
        return guest

    def place(self, guest="", **options):
        """A URI of the libvirt provider."""
        options = {"connect": self.uri.replace("?", "%3F"), "scratch": self.folder / "scratch", **options}
        return f"libvirt://{guest}?" + "&".join(f"{key}={value}" for key, value in options.items())

    def leftovers(self):
        """What is in the scratch folder, and processes that serve from there."""
        found = sorted(path.name for path in (self.folder / "scratch").iterdir())
        for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                arguments = line.read_bytes().split(b"\0")
            except OSError:
                continue
            if arguments[0].endswith(b"qemu-nbd") and str(self.folder).encode() in b" ".join(arguments):
                found.append("qemu-nbd " + line.parent.name)
        return found

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        for guest in self.guests:
            guest.kill()
        if self.daemon:
            self.stop_daemon()


class Guest:
    def __init__(self, lab, name, disks, extra=""):
        self.lab, self.name, self.line = lab, name, None
        self.serial = lab.folder / "run" / f"{name}.serial"
        self.disks = {}
        described = ""  # with a boot order, since the firmware shows the guest no other disks
        for number, (target, size) in enumerate(disks.items()):
            size, _, form = size.partition(" ")
            form = form or "qcow2"
            path = lab.folder / "disks" / f"{name}-{target}.{form}"
            subprocess.run(["qemu-img", "create", "-q", "-f", form, path, size], check=True)
            if number == 0:
                subprocess.run(["qemu-io", "-f", form, "-c", f"write -q -s {lab.folder}/boot 0 512", path], check=True)
            if os.getuid() == 0:
                shutil.chown(path, "nobody")
            self.disks[target] = path
            described += (f"<disk type='file' device='disk'><driver name='qemu' type='{form}'/><source file='{path}'/>"
                          f"<target dev='{target}' bus='virtio'/><boot order='{number + 1}'/></disk>")
        definition = lab.folder / f"{name}.xml"
        definition.write_text(
            f"<domain type='qemu'><name>{name}</name><memory unit='MiB'>32</memory><vcpu>1</vcpu>"
            f"<os><type arch='x86_64' machine='pc'>hvm</type></os><features><acpi/></features>"
            f"<on_poweroff>destroy</on_poweroff><devices><emulator>{shutil.which('qemu-system-x86_64')}</emulator>{described}"
            f"<controller type='usb' model='none'/><memballoon model='none'/>"
            f"<serial type='unix'><source mode='bind' path='{self.serial}'/></serial>{extra}</devices></domain>")
        lab.virsh("define", definition)

    @property
    def pid(self):
        file = self.lab.folder / "run/libvirt/qemu/run" / f"{self.name}.pid"
        return int(file.read_text()) if file.exists() else None

    def start(self):
        self.lab.virsh("start", self.name)
        self.line = socket.socket(socket.AF_UNIX)
        self.line.settimeout(60)
        self.line.connect(str(self.serial))
        if self.line.recv(1) != b"?":
            raise RuntimeError(f"{self.name} does not boot")
        self.drives = {target: 0x80 + number for number, target in enumerate(self.disks)}

    def write(self, target, sector, count, fill):
        """Returns when the disk has taken it."""
        for first in range(sector, sector + count, 127):
            sectors = min(127, sector + count - first)
            self.line.send(bytes([self.drives[target], sectors]) + fill + first.to_bytes(4, "little"))
            answer = b"?"
            while answer == b"?":  # it called until it heard us
                answer = self.line.recv(1)
            if answer != b"!":
                raise RuntimeError(f"{self.name} could not write {sectors} sectors at {first} of {target}")

    def stop(self):
        """As a host that shuts down does: QEMU writes its bitmaps."""
        self.hang_up()
        self.lab.virsh("destroy", self.name, "--graceful")

    def kill(self):
        self.hang_up()
        pid = self.pid
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                return
            if self.lab.daemon and self.lab.daemon.poll() is None:
                eventually("libvirt sees it", lambda: self.lab.virsh("domstate", self.name).strip() == "shut off")

    def hang_up(self):
        if self.line:
            self.line.close()
            self.line = None

    def content(self, target):
        """The disk of a stopped guest, read by qemu-img."""
        raw = self.lab.folder / "content.raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", self.disks[target], raw], check=True)
        return raw.read_bytes()

    def has_job(self):
        return self.lab.virsh("backup-dumpxml", self.name, check=False).returncode == 0

    def bitmaps(self, target):
        """Of a stopped guest's image."""
        told = subprocess.run(["qemu-img", "info", "--output=json", self.disks[target]], check=True, capture_output=True)
        return [bitmap["name"] for bitmap in json.loads(told.stdout)["format-specific"]["data"].get("bitmaps", [])]

    def checkpoints(self):
        return self.lab.virsh("checkpoint-list", self.name, "--name").split()
