# SPDX-License-Identifier: Apache-2.0
"""What recording and replaying share about mounted file systems and the commands that run on them."""
import os
import signal
import subprocess
import time

MOUNT_OPTIONS = {"ext4": "rw", "xfs": "rw,nouuid"}


def kill_group(process):
    """Kills what a command has left running: PROCESS was started as the leader of its session."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def unmount(folder):
    """Whether it worked: a killed process may hold the folder for a moment, but not for 10 s."""
    deadline = time.monotonic() + 10
    while subprocess.run(["umount", folder], stderr=subprocess.DEVNULL).returncode:
        if time.monotonic() > deadline:
            return subprocess.run(["umount", folder]).returncode == 0
        time.sleep(0.02)
    return True
