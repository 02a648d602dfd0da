# SPDX-License-Identifier: Apache-2.0
"""Figures 18 to 20 of bench/bench: disks that are far away.

The path is bench/far-path, a proxy on 127.0.0.1 with a round trip and a bandwidth; beyond it are nbdkit file and nginx.
"""
import contextlib
import os
import random
import shutil
import socket
import subprocess
import threading
import time

from servers import MiB, Process, answers, run, seconds_of

LINK_MBIT = 1000
LINK_MIB = LINK_MBIT * 1e6 / 8 / MiB


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def on_port(command, port):
    return Process(command, lambda: answers(socket.AF_INET, ("127.0.0.1", port)))


class FarFigures:
    """Needs what Bench has: contest(), say(), fio()."""

    def dense_disk(self, size):
        """Without holes, which no server has to send."""
        at = self.path("dense.raw")
        if not os.path.exists(at):
            block = random.Random(1).randbytes(MiB)
            with open(at, "wb") as disk:
                for _ in range(size // MiB):
                    disk.write(block)
        return at

    def nginx(self, folder, port):
        """The command that serves a folder's files."""
        own = self.fresh(".nginx")
        os.mkdir(own)
        temporary = "".join(f"{kind}_temp_path {own};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        with open(f"{own}/conf", "w") as conf:
            conf.write(f"{'user root;' if os.geteuid() == 0 else ''} daemon off; pid {own}/pid; error_log {own}/log; events {{}}\n"
                       f"http {{ access_log off; sendfile on; keepalive_requests 1000000; {temporary}\n"
                       f"server {{ listen 127.0.0.1:{port}; root {folder}; }} }}\n")
        return ["nginx", "-c", f"{own}/conf", "-p", own]

    @contextlib.contextmanager
    def far(self, disk, round_trip_ms, mbit=LINK_MBIT):
        """The URIs of the disk beyond the path: by NBD, and by HTTP."""
        nbd, http, far_nbd, far_http = (free_port() for _ in range(4))
        path = [f"{self.build}/bench/far-path"]
        with contextlib.ExitStack() as stack:
            for command, port in ((["nbdkit", "-f", "-r", "-i", "127.0.0.1", "-p", str(nbd), "file", disk], nbd),
                                  (self.nginx(os.path.dirname(disk), http), http),
                                  (path + [str(far_nbd), str(nbd), str(round_trip_ms), str(mbit)], far_nbd),
                                  (path + [str(far_http), str(http), str(round_trip_ms), str(mbit)], far_http)):
                stack.enter_context(on_port(command, port))
            yield f"nbd://127.0.0.1:{far_nbd}/", f"http://127.0.0.1:{far_http}/{os.path.basename(disk)}"

    def far_server(self, uri, *options, cache=None):
        """hypernbd with one far disk, whose export is the default one."""
        environment = ["env", f"HYPER_PROVIDERS={self.build}/providers", f"HYPER_ROOT={self.path('root')}", *([f"HYPER_CACHE={cache}"] if cache else [])]
        return self.nbd(lambda at: [*environment, self.hypernbd, "--socket", at, *options, uri])

    def figure18(self):
        """A far disk read in order by one client, over 1 Gbit/s and some round trip"""
        disk = self.dense_disk(1 << 30)
        for round_trip_ms in (0, 10, 20, 50):
            with self.far(disk, round_trip_ms) as (nbd, http):
                def by_fio(make, depth):
                    with make() as server:
                        # All of the disk, or what is read in four times the usual time.
                        return self.fio("--ioengine=nbd", f"--uri={server.uri()}", "--size=1G", "--rw=read", "--bs=256k",
                                        f"--iodepth={depth}", "--time_based=0", f"--runtime={round(4000 * self.seconds)}ms")["bw_bytes"] / MiB

                plugin = {"nbdkit nbd": lambda: self.nbd(lambda at: ["nbdkit", "-f", "-r", "-U", at, "nbd", f"uri={nbd}"]),
                          "nbdkit curl": lambda: self.nbd(lambda at: ["nbdkit", "-f", "-r", "-U", at, "curl", f"url={http}"])}
                contestants = {}
                for place, uri in (("NBD", nbd), ("HTTP", http)):
                    contestants[f"hypernbd of {place}, one read at a time"] = lambda uri=uri: by_fio(lambda: self.far_server(uri), 1)
                    contestants[f"hypernbd of {place}, 16 at a time"] = lambda uri=uri: by_fio(lambda: self.far_server(uri), 16)
                for name, make in plugin.items():
                    contestants[f"{name}, one read at a time"] = lambda make=make: by_fio(make, 1)
                    contestants[f"{name}, 16 at a time"] = lambda make=make: by_fio(make, 16)
                contestants["nbdcopy, by itself"] = lambda: (1 << 30) / MiB / seconds_of("nbdcopy", nbd, "null:")
                ours = list(contestants)[:4]
                self.contest(f"{round_trip_ms} ms", "MiB/s", contestants, ours, list(contestants)[4:])
                self.say(f"\nTarget: 90 % of the link's {LINK_MIB:.1f} MiB/s, which is {0.9 * LINK_MIB:.1f}, with one read at a time")

    def figure19(self):
        """4 KiB random reads of a far disk that is in the cache on disk, against the same export of the local file"""
        disk = self.dense_disk(1 << 30)
        size = ["--size=256M", "--bs=4k", "--rw=randread"]
        with self.far(disk, 20) as (_, http), self.far_server(http, cache=f"{self.path('blocks')}:2G") as far, self.our_server(disk) as local:
            for _ in range(2):
                run("fio", "--name=warm", "--ioengine=nbd", f"--uri={far.uri()}", *size, "--iodepth=64")
            for depth, target in ((1, "0.8"), (64, "0.8")):
                self.contest(f"depth {depth}", "MiB/s", {
                    name: (lambda server=server: self.fio("--ioengine=nbd", f"--uri={server.uri()}", *size, f"--iodepth={depth}")["bw_bytes"] / MiB)
                    for name, server in (("cached", far), ("local file", local))}, ["cached"], ["local file"], target=target)

    def figure20(self):
        """The longest wait of 64 connections while builds of a provider are swapped under load"""
        disk = self.dense_disk(1 << 30)
        modules = self.path("modules")
        os.makedirs(modules, exist_ok=True)
        module = os.path.join(modules, "hyper-provider-faulty.so")
        shutil.copy(f"{self.build}/providers/hyper-provider-faulty.so", module)
        control = self.path("control.sock")
        environment = dict(os.environ, HYPER_PROVIDERS=modules)
        swaps = []

        def swap(stop):
            while not stop.wait(0.5):
                with open(module, "ab") as file:
                    file.write(b"another build")
                subprocess.run([f"{self.build}/tools/hyperctl", "provider", "reload", "faulty", "--control", control], env=environment,
                               check=True, stdout=subprocess.DEVNULL)
                swaps.append(time.monotonic())

        def longest_ms(swapping):
            with self.nbd(lambda at: ["env", f"HYPER_PROVIDERS={modules}", self.hypernbd, "--socket", at, "--control", control,
                                      f"faulty://{disk}"]) as server:
                stop = threading.Event()
                thread = threading.Thread(target=swap, args=(stop,))
                if swapping:
                    thread.start()
                try:
                    said = self.fio("--ioengine=nbd", f"--uri={server.uri('dense')}", "--size=1G", "--rw=randread", "--bs=4k", "--iodepth=1",
                                    "--numjobs=64")
                finally:
                    stop.set()
                    if swapping:
                        thread.join()
                return said["clat_ns"]["max"] / 1e6

        self.contest("longest of all requests", "ms", {"with swaps": lambda: longest_ms(True), "without": lambda: longest_ms(False)},
                     ["with swaps"], ["without"], "less")
        self.say(f"\nTarget: under 100 ms with swaps, and no error. Builds swapped in all: {len(swaps)}, one each half second")
