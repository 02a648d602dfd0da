# SPDX-License-Identifier: Apache-2.0
"""Figures 12 to 16 of bench/bench: volumes beside cp, qemu-img, borg, and qemu's dirty bitmaps.

The disk is that of figures 1 to 6. Everything that makes a file makes it durable, too: `hyperctl sync` by itself, the rivals by sync(1)
of what they made, within their time.
"""
import json
import os
import random
import shutil
import subprocess
import time

from servers import MiB, run, seconds_of

BLOCK = 64 << 10


def remove(path):
    if os.path.isdir(path):
        shutil.rmtree(path)
    elif os.path.exists(path):
        os.unlink(path)


class VolumeFigures:
    """Needs what Bench has: contest(), say(), fio_nbd(), the servers, and `disk`."""

    def hyperctl(self, *words):
        return run(f"{self.build}/tools/hyperctl", *words)

    def seconds_to_make(self, target, *commands):
        """From nothing to durable."""
        remove(target)
        made = sum(seconds_of(*command) for command in commands)
        return made + seconds_of("sync", "--file-system" if os.path.isdir(target) else "--data", target)

    def change(self, path, share, clustered):
        """Other bytes in that share of the disk's blocks; gives how many bytes that were."""
        draw = random.Random(os.urandom(8))
        blocks = os.path.getsize(path) // BLOCK
        count = max(1, int(blocks * share))
        first = draw.randrange(blocks - count + 1)
        chosen = range(first, first + count) if clustered else draw.sample(range(blocks), count)
        with open(path, "r+b") as disk:
            for block in chosen:
                disk.seek(block * BLOCK)
                disk.write(draw.randbytes(BLOCK))
        return count * BLOCK

    def figure12(self):
        """Incremental sync of a source that knows what changed, against cp of as many bytes and qemu-img convert of all"""
        source, target = self.path("source.volume"), self.path("target.volume")
        disk, copied, whole, few = (self.path(name) for name in ("changing.raw", "copied", "whole.raw", "few"))
        run("cp", "--sparse=always", self.disk, disk)
        self.hyperctl("sync", "--create", disk, source)
        self.hyperctl("sync", "--create", source, target)
        for share, clustered in ((0.001, False), (0.01, False), (0.01, True), (0.05, False), (0.2, False), (0.2, True)):
            def sync():
                changed = self.change(disk, share, clustered)
                with open(few, "wb") as file:
                    file.write(os.urandom(changed))
                self.hyperctl("sync", disk, source)
                run("sync")
                said = {}

                def timed():
                    said.update(json.loads(self.hyperctl("sync", "--json", source, target)))
                took = seconds_of_call(timed)
                if said["compared-all"]:
                    raise RuntimeError(f"everything was compared: {said['why-all']}")
                return took
            contestants = {"hyperctl sync": sync, "cp of as many bytes": lambda: self.seconds_to_make(copied, ["cp", few, copied])}
            how = "in one run" if clustered else "scattered"
            if share == 0.01 and not clustered:
                contestants["qemu-img convert of all"] = lambda: self.seconds_to_make(
                    whole, ["qemu-img", "convert", "-f", "raw", "-O", "raw", disk, whole])
            self.contest(f"{share:.1%} changed, {how}, against cp", "s", contestants, ["hyperctl sync"], ["cp of as many bytes"], "less",
                         "0.77 (1.3 times the time of cp), and 20 times as fast as qemu-img convert")
        for path in (source, target, disk, copied, whole, few):
            remove(path)

    def figure13(self):
        """Sync of a source that knows nothing, and of which nothing changed: everything is read and compared"""
        target = self.path("target.volume")
        self.hyperctl("sync", "--create", self.disk, target)
        self.contest("A cached file", "s", {
            "hyperctl sync": lambda: seconds_of(f"{self.build}/tools/hyperctl", "sync", self.disk, target),
            "cat": lambda: seconds_of("sh", "-c", 'cat "$0" >/dev/null', self.disk),
            "xxhsum -H2": lambda: seconds_of("xxhsum", "-q", "-H2", self.disk),
        }, ["hyperctl sync"], ["cat", "xxhsum -H2"], "less", "0.8 of the slower of the two")
        remove(target)

    def figure14(self):
        """First sync, against cp, qemu-img convert with zstd, and borg"""
        plain, packed, copy, qcow2 = (self.path(name) for name in ("plain.volume", "packed.volume", "copy.raw", "packed.qcow2"))
        repository = self.path("borg")
        ctl = f"{self.build}/tools/hyperctl"
        sizes = {}

        def sync(target, *options):
            remove(target)
            self.hyperctl("volume", "create", *options, target)
            took = seconds_of(ctl, "sync", self.disk, target)
            sizes[target] = int(run("du", "-sB1", target).split()[0])
            return took

        def qemu():
            took = self.seconds_to_make(qcow2, ["qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", "compression_type=zstd",
                                                self.disk, qcow2])
            sizes[qcow2] = int(run("du", "-sB1", qcow2).split()[0])
            return took

        def borg():
            environment = dict(os.environ, BORG_BASE_DIR=self.path("borg-home"))
            remove(repository)
            run("borg", "init", "-e", "none", repository, env=environment)
            began = seconds_of_call(lambda: run("borg", "create", "--compression", "zstd,1", f"{repository}::one", self.disk,
                                                env=environment))
            sizes[repository] = int(run("du", "-sB1", repository).split()[0])
            return began

        self.contest("Without compression", "s", {
            "hyperctl sync": lambda: sync(plain, "--no-compress"),
            "cp --sparse=always": lambda: self.seconds_to_make(copy, ["cp", "--sparse=always", self.disk, copy]),
        }, ["hyperctl sync"], ["cp --sparse=always"], "less", "0.8")
        contestants = {"hyperctl sync": lambda: sync(packed), "qemu-img convert -c, zstd": qemu}
        if shutil.which("borg"):
            contestants["borg create, zstd,1"] = borg
        self.contest("With zstd", "s", contestants, ["hyperctl sync"], ["qemu-img convert -c, zstd"], "less",
                     "3, at no more than 1.1 times the size")
        self.say("\n| | MiB on the disk |\n| --- | ---: |")
        for name, path in (("hyperctl sync", packed), ("qemu-img convert -c, zstd", qcow2), ("borg create, zstd,1", repository)):
            if path in sizes:
                self.say(f"| {name} | {sizes[path] / MiB:.0f} |")
        for path in (plain, packed, copy, qcow2, repository, self.path("borg-home")):
            remove(path)

    def figure15(self):
        """Writing: a volume's draft, against a qcow2 with a persistent dirty bitmap, and a raw file without tracking"""
        volume, qcow2, raw = self.path("written.volume"), self.path("written.qcow2"), self.path("written.raw")
        self.hyperctl("sync", "--create", self.disk, volume)
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.disk, qcow2)
        run("qemu-img", "bitmap", "--add", qcow2, "changed")
        run("cp", self.disk, raw)
        with self.our_server(volume, writing=True) as ours, self.nbdkit_file(raw, writing=True) as plain, \
                self.nbd(lambda at: ["qemu-nbd", "-t", "-e", "4", "-f", "qcow2", "--aio=io_uring", "-k", at, qcow2]) as rival:
            ours.uri = lambda: f"nbd+unix:///written?socket={ours.socket}"
            for title, job in (("4 KiB random writes, depth 64", ["--rw=randwrite", "--bs=4k", "--iodepth=64"]),
                               ("256 KiB sequential writes, depth 16", ["--rw=write", "--bs=256k", "--iodepth=16"])):
                contestants = {name: (lambda server=server: self.fio_nbd(server, *job)["bw_bytes"] / MiB)
                               for name, server in (("hypernbd, volume", ours), ("qemu-nbd, qcow2 with bitmap", rival),
                                                    ("nbdkit file", plain))}
                self.contest(title, "MiB/s", contestants, ["hypernbd, volume"], ["qemu-nbd, qcow2 with bitmap"], target="0.9")
        for path in (volume, qcow2, raw):
            remove(path)

    def figure16(self):
        """Old generations: random reads of the first of 31, against the newest; what changed in a million runs"""
        volume, disk = self.path("old.volume"), self.path("changing.raw")
        run("cp", "--sparse=always", self.disk, disk)
        self.hyperctl("sync", "--create", disk, volume)
        for _ in range(30):
            self.change(disk, 0.01, False)
            self.hyperctl("sync", disk, volume)
        with self.our_server(volume) as server:
            def reads(generation):
                uri = f"nbd+unix:///old@{generation}?socket={server.socket}"
                return self.fio("--ioengine=nbd", f"--uri={uri}", f"--size={self.size}", "--rw=randread", "--bs=4k",
                                "--iodepth=16")["iops"]
            self.contest("4 KiB random reads, depth 16", "reads/s", {"generation 1": lambda: reads(1), "generation 31": lambda: reads(31)},
                         ["generation 1"], ["generation 31"], target="0.8")
        remove(volume)
        runs = 1000000 if self.size >= 1 << 30 else 1000
        remove(disk)
        with open(disk, "wb") as file:
            file.truncate(runs * 2 * 4096)
        self.hyperctl("volume", "create", "--block-size", "4K", volume)
        self.hyperctl("sync", disk, volume)
        with open(disk, "r+b") as file:
            for number in range(runs):
                file.seek(number * 2 * 4096)
                file.write(b"x")
        self.hyperctl("sync", disk, volume)
        found = []
        for _ in range(self.rounds):
            found.append(seconds_of(f"{self.build}/tools/hyperctl", "volume", "diff", "--json", volume + "@1", volume + "@2"))
        self.say(f"\n`hyperctl volume diff --json` of {runs} runs, printed: {sorted(found)[len(found) // 2]:.3f} s (best {min(found):.3f} s). "
                 "Target: 0.2 s for a million")
        for path in (volume, disk):
            remove(path)
        self.large_volume(10 * runs)

    def large_volume(self, runs):
        """A disk of 64 TiB with that many runs: how long it takes to open it, and how much memory"""
        volume, ctl = self.path("large.volume"), f"{self.build}/tools/hyperctl"
        run(f"{self.build}/bench/large-volume", volume, str(runs))
        self.hyperctl("volume", "pin", volume + "@2")  # a writer takes what the one before it left in the log
        self.say(f"\n### 64 TiB, {runs} runs\n\n| | s | MiB of memory at most |\n| --- | ---: | ---: |")
        for name, words in (("opened: `hyperctl volume log`", ["volume", "log", volume]),
                            ("`hyperctl volume diff --json` of all runs", ["volume", "diff", "--json", volume + "@1", volume + "@2"])):
            found = [seconds_and_memory(ctl, *words) for _ in range(self.rounds)]
            seconds, memory = (sorted(values)[len(values) // 2] for values in zip(*found))
            self.say(f"| {name} | {seconds:.3f} | {memory / MiB:.0f} |")
        self.say("\nTarget: 0.2 s to open it, and 256 MiB and the cache, whatever is asked")
        remove(volume)


def seconds_and_memory(*command):
    """Of one command: how long it takes, and the bytes that it has in memory at most."""
    began = time.monotonic()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return time.monotonic() - began, usage.ru_maxrss << 10


def seconds_of_call(call):
    began = time.monotonic()
    call()
    return time.monotonic() - began
