# SPDX-License-Identifier: Apache-2.0
"""Figures 7 to 11 of bench/bench: hypernbd beside the other NBD servers.

All contestants serve one file, whole in memory and without holes; those that write, the very same one, since what a write into the
page cache costs differs from file to file. On tmpfs no writeback comes between.
"""
import contextlib
import functools
import os
import random
import socket
import struct

from servers import MiB, run, seconds_of

IDLE_CONNECTIONS = 1000
GREETING_BYTES = 18
# Title: arguments of fio, target.
JOBS = {
    "4 KiB random reads, depth 1": (["--rw=randread", "--bs=4k", "--iodepth=1"], "1.0"),
    "4 KiB random reads, depth 64": (["--rw=randread", "--bs=4k", "--iodepth=64"], "1.5"),
    "256 KiB sequential reads, depth 16": (["--rw=read", "--bs=256k", "--iodepth=16"], "2.0"),
    "256 KiB sequential writes, depth 16": (["--rw=write", "--bs=256k", "--iodepth=16"], "2.0"),
    "4 KiB random writes, depth 64": (["--rw=randwrite", "--bs=4k", "--iodepth=64"], "3.0"),
    "Eight connections, 4 KiB random reads, depth 16": (["--rw=randread", "--bs=4k", "--iodepth=16", "--numjobs=8"], "1.5"),
    "Eight connections, 256 KiB sequential reads, depth 16": (["--rw=read", "--bs=256k", "--iodepth=16", "--numjobs=8"],
                                                              "1.5"),
}


def connect_idle(path):
    """A connection that has chosen the default export and asks for nothing."""
    client = socket.socket(socket.AF_UNIX)
    client.connect(path)
    client.recv(GREETING_BYTES, socket.MSG_WAITALL)
    # Fixed newstyle without zeroes; OPT_EXPORT_NAME of no length. The answer is the size and the flags.
    client.sendall(struct.pack(">IQII", 3, int.from_bytes(b"IHAVEOPT", "big"), 1, 0))
    if len(client.recv(10, socket.MSG_WAITALL)) != 10:
        raise RuntimeError(f"{path}: the server takes no more connections")
    return client


class NbdFigures:
    """Needs what Bench has: contest(), say(), fio_nbd(), the servers, and `cached_scratch`, a folder for the file."""

    @functools.cached_property
    def cached_disk(self):
        at = os.path.join(self.cached_scratch, "cached.raw")
        draw = random.Random(2)
        with open(at, "wb") as disk:
            for _ in range(0, self.size, MiB):
                disk.write(draw.randbytes(MiB))
        return at

    def figure7(self):
        """hypernbd against nbdkit file and qemu's servers, over a Unix socket, by fio's nbd engine"""
        servers = {"hypernbd": self.our_server(self.cached_disk, writing=True),
                   "nbdkit file": self.nbdkit_file(self.cached_disk, writing=True)}
        for aio in ("threads", "native", "io_uring"):
            servers[f"qemu-nbd, {aio}"] = self.qemu_nbd_writing(self.cached_disk, aio)
            servers[f"qemu-storage-daemon, {aio}"] = self.qsd_writing(self.cached_disk, aio)
        rivals = list(servers)[1:]
        # What fio itself allows, whoever serves it.
        bound = "(a server without a disk)"
        servers[bound] = self.bare_server(self.size)
        with contextlib.ExitStack() as stack:
            for server in servers.values():
                stack.enter_context(server)
            for title, (job, target) in JOBS.items():
                contestants = {name: (lambda server=server: self.fio_nbd(server, *job)["bw_bytes"] / MiB)
                               for name, server in servers.items()}
                self.contest(title, "MiB/s", contestants, ["hypernbd"], rivals, target=target, bound=bound)

    def figure8(self):
        """CPU time of the server for each GiB, against nbdkit file"""

        def cpu_per_gib(server, job):
            before = server.cpu_seconds()
            moved = self.fio_nbd(server, *job)["io_bytes"]
            return (server.cpu_seconds() - before) / (moved / (1024 * MiB))

        with self.our_server(self.cached_disk, writing=True) as ours, self.nbdkit_file(self.cached_disk, writing=True) as rival:
            for title, (job, _) in JOBS.items():
                self.contest(title, "s/GiB", {"hypernbd": lambda: cpu_per_gib(ours, job),
                                              "nbdkit file": lambda: cpu_per_gib(rival, job)},
                             ["hypernbd"], ["nbdkit file"], "less", f"{1 / 0.6:.2f} (0.6 of the time)")

    def figure9(self):
        """Distance to the limit: sequential reads against a bare loop that sends the same bytes without a protocol"""
        program = f"{self.build}/bench/bare-loop"
        with self.our_server(self.cached_disk) as server:
            self.contest("256 KiB sequential reads, 16 ahead, one receiver", "MiB/s", {
                "hypernbd": lambda: float(run(program, "nbd", server.socket, str(self.seconds))),
                "bare loop": lambda: float(run(program, "limit", self.cached_disk, str(self.seconds))),
            }, ["hypernbd"], ["bare loop"], target="0.8")

    def figure10(self):
        """TLS with a pre-shared key on 127.0.0.1: read whole by nbdcopy, 256 KiB a request"""
        keys = self.path("keys.psk")
        run("psktool", "--username=bench", f"--pskfile={keys}")
        os.chmod(keys, 0o600)
        with self.our_server_tls(self.cached_disk, keys, "bench") as ours, \
                self.nbdkit_file_tls(self.cached_disk, keys, "bench") as rival:
            for connections in (1, 4):
                def read_whole(server):
                    took = seconds_of("nbdcopy", f"--connections={connections}", "--request-size=262144", server.uri(), "null:")
                    return self.size / MiB / took
                self.contest(f"Connections: {connections}", "MiB/s", {"hypernbd": lambda: read_whole(ours),
                                                                      "nbdkit file": lambda: read_whole(rival)},
                             ["hypernbd"], ["nbdkit file"], target="1.3")

    def figure11(self):
        """Many connections: what idle ones cost, and how long the slowest requests of busy ones take"""
        with self.our_server(self.cached_disk) as alone, self.our_server(self.cached_disk) as crowded, \
                self.nbdkit_file(self.cached_disk) as rival, contextlib.ExitStack() as clients:
            before = crowded.memory_kib("VmRSS") / 1024
            for _ in range(IDLE_CONNECTIONS):
                clients.enter_context(connect_idle(crowded.socket))
            after = crowded.memory_kib("VmRSS") / 1024
            self.say(f"\nResident memory of hypernbd: {before:.1f} MiB; with {IDLE_CONNECTIONS} idle connections: {after:.1f} MiB. "
                     "Target: below 64 MiB in all")
            for title in ("4 KiB random reads, depth 64", "256 KiB sequential reads, depth 16"):
                job = JOBS[title][0]
                with_idle = f"with {IDLE_CONNECTIONS} idle connections"
                self.contest(f"{title}, beside idle connections", "MiB/s", {
                    with_idle: lambda: self.fio_nbd(crowded, *job)["bw_bytes"] / MiB,
                    "without": lambda: self.fio_nbd(alone, *job)["bw_bytes"] / MiB,
                }, [with_idle], ["without"], target="1.0, within what rounds differ")

            # Not by fio: of 64 processes of it, those that read from nbdkit run one after the other.
            def slowest_us(server):
                return float(run(f"{self.build}/bench/bare-loop", "busy", server.socket, str(self.seconds)))
            self.contest("99th percentile of 4 KiB random reads, 64 connections, each one request at a time", "us",
                         {"hypernbd": lambda: slowest_us(alone), "nbdkit file": lambda: slowest_us(rival)},
                         ["hypernbd"], ["nbdkit file"], "less", "1.0")
