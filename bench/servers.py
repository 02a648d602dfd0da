# SPDX-License-Identifier: Apache-2.0
"""The programs that bench/bench starts: our doors and their rivals."""
import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import time

MiB = 1 << 20


def run(*command, **options):
    """Runs a command to its end; returns what it printed. A failure says what the command said."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: status {done.returncode}: {(done.stderr or done.stdout).strip()[-400:]}")
    return done.stdout


def seconds_of(*command):
    began = time.monotonic()
    run(*command)
    return time.monotonic() - began


def answers(family, address):
    """Whether somebody listens there."""
    with socket.socket(family) as probe:
        return probe.connect_ex(address) == 0


class Process:
    """A server: started, waited for, and stopped however the block ends."""

    def __init__(self, command, ready, mount=None):
        self.command, self.ready, self.mount = command, ready, mount

    def __enter__(self):
        if self.mount:
            os.makedirs(self.mount, exist_ok=True)
        self.log = tempfile.TemporaryFile()
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log, start_new_session=True)
        deadline = time.monotonic() + 30
        while not self.ready():
            status = self.process.poll()
            # Some mount programs go to the background with status 0.
            if status not in (None, 0) or time.monotonic() > deadline:
                self.__exit__()
                self.log.seek(0)
                raise RuntimeError(f"{' '.join(self.command)}: {self.log.read().decode(errors='replace').strip()[-400:]}")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        # qemu-storage-daemon leaves a dead mount when it is killed first.
        if self.mount:
            for command in (["fusermount3", "-u", self.mount], ["fusermount3", "-u", "-z", self.mount]):
                if not os.path.ismount(self.mount):
                    break
                subprocess.run(command, stderr=subprocess.DEVNULL)
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def memory_kib(self, which):
        """`which`: VmRSS now, VmHWM at its highest."""
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(which))

    def cpu_seconds(self):
        """Of all its threads until now, also those that ended, user and system, in nanoseconds' resolution."""
        # As clock_getcpuclockid(3) makes it.
        return time.clock_gettime(~self.process.pid << 3 | 2)


class Servers:
    """Starts servers whose sockets and mounts are in the folder `scratch`; `build` is where ours are."""

    def __init__(self, build, scratch):
        self.scratch, self.count = scratch, 0
        self.build = build
        self.plugin = f"{build}/nbdkit-plugins/nbdkit-hyper-plugin.so"
        self.hyperfs = f"{build}/fusefs/hyperfs"
        self.hypernbd = f"{build}/nbdserver/hypernbd"

    def path(self, name):
        return os.path.join(self.scratch, name)

    def fresh(self, suffix):
        self.count += 1
        return self.path(f"{self.count}{suffix}")

    # NBD servers, read-only unless `writing`. Each has .uri(name); those on a Unix socket have .socket, too.

    def nbd(self, command_of):
        at = self.fresh(".sock")
        server = Process(command_of(at), lambda: answers(socket.AF_UNIX, at))
        server.socket = at
        server.uri = lambda name="": f"nbd+unix:///{name}?socket={at}"
        return server

    def our_server(self, image, writing=False):
        return self.nbd(lambda at: [self.hypernbd, "--socket", at, *(["--rw"] if writing else []), image])

    def our_plugin(self, image, thread_model="parallel"):
        return self.nbd(lambda at: ["nbdkit", "-f", "-U", at, self.plugin, image, f"thread_model={thread_model}"])

    def nbdkit_file(self, image, writing=False):
        return self.nbd(lambda at: ["nbdkit", "-f", *([] if writing else ["-r"]), "-U", at, "file", image])

    def qemu_nbd(self, image, driver, aio):
        cache = ["--cache=none"] if aio == "native" else []
        return self.nbd(lambda at: ["qemu-nbd", "-r", "-t", "-e", "16", "-f", driver, f"--aio={aio}", *cache,
                                    "-k", at, image])

    def bare_server(self, size):
        return self.nbd(lambda at: [f"{self.build}/bench/bare-server", at, str(size)])

    # Rivals that write one raw file all at the same time: without locks, and by way of the page cache (but for
    # native, which io_submit(2) does not offer with it).

    def qemu_nbd_writing(self, image, aio):
        cache = "none" if aio == "native" else "writeback"
        return self.nbd(lambda at: ["qemu-nbd", "-t", "-e", "16", f"--aio={aio}", f"--cache={cache}", "-k", at, "--image-opts",
                                    f"driver=raw,file.driver=file,file.locking=off,file.filename={image}"])

    def qsd_writing(self, image, aio):
        direct = "on" if aio == "native" else "off"
        return self.nbd(lambda at: ["qemu-storage-daemon", "--blockdev",
                                    f"file,node-name=f,filename={image},locking=off,aio={aio},cache.direct={direct}",
                                    "--blockdev", f"raw,node-name=d,file=f,cache.direct={direct}",
                                    "--nbd-server", f"addr.type=unix,addr.path={at}",
                                    "--export", "nbd,id=e,node-name=d,name=,writable=on"])

    # Over TCP with TLS: `keys` is a file of pre-shared keys, `identity` the client's.

    def nbds(self, command_of, keys, identity):
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        server = Process(command_of(port), lambda: answers(socket.AF_INET, ("127.0.0.1", port)))
        server.uri = lambda: f"nbds://{identity}@127.0.0.1:{port}/?tls-psk-file={keys}"
        return server

    def our_server_tls(self, image, keys, identity):
        rules = self.fresh(".toml")
        with open(rules, "w") as file:
            file.write(f'[[allow]]\nwho = ["psk:{identity}"]\nread = ["*"]\n')
        return self.nbds(lambda port: [self.hypernbd, "--listen", f"127.0.0.1:{port}", "--tls-psk", keys, "--rules", rules,
                                       image], keys, identity)

    def nbdkit_file_tls(self, image, keys, identity):
        return self.nbds(lambda port: ["nbdkit", "-f", "-r", "-i", "127.0.0.1", "-p", str(port), "--tls=require",
                                       f"--tls-psk={keys}", "file", image], keys, identity)

    # Mounts.

    def mount(self, command_of):
        at = self.fresh(".mount")
        return Process(command_of(at), lambda: os.path.ismount(at), at)

    def our_mount(self, image):
        return self.mount(lambda at: [self.hyperfs, "-f", image, at])

    def qsd(self, image, driver):
        at = self.fresh(".qsd")
        open(at, "w").close()
        server = Process(["qemu-storage-daemon", "--blockdev", f"file,node-name=f,filename={image},read-only=on",
                          "--blockdev", f"{driver},node-name=d,file=f,read-only=on",
                          "--export", f"fuse,id=e,node-name=d,mountpoint={at},writable=off"],
                         lambda: os.path.ismount(at))
        leave = server.__exit__

        def stop(*_):
            subprocess.run(["fusermount3", "-u", "-z", at], stderr=subprocess.DEVNULL)
            leave()

        return at, server, stop

    @contextlib.contextmanager
    def mounted(self, kind, image, driver, name):
        """The path of the file to read, on a fresh mount, whose pages are not cached yet."""
        if kind == "hyperfs":
            with self.our_mount(image) as server:
                yield os.path.join(server.mount, name)
        elif kind == "qemu-storage-daemon":
            at, server, stop = self.qsd(image, driver)
            server.__enter__()
            try:
                yield at
            finally:
                stop()
        elif kind == "xmount":
            with self.mount(lambda at: ["xmount", "--in", "raw", image, "--out", name, at]) as server:
                yield next(os.path.join(server.mount, file) for file in sorted(os.listdir(server.mount))
                           if not file.endswith(".info"))
        else:  # qcowmount, vmdkmount, vhdimount
            with self.mount(lambda at: [kind, image, at]) as server:
                yield os.path.join(server.mount, sorted(os.listdir(server.mount))[0])
