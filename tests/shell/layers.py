# SPDX-License-Identifier: Apache-2.0
"""Checks the sources below a folder: layers.py FOLDER. Prints what is wrong and ends with 1 then."""
import os
import re
import sys

# A folder may include itself and what stands in a line above; folders of one line do not see each other.
LAYERS = [
    ["blockengine/base"],
    ["blockengine"],
    ["blockengine/fetch", "blockengine/http", "blockengine/volume"],
    ["providers", "carbon"],
    ["carbon/feeds"],
    ["convert"],
    ["catalog"],
    ["nbdserver/locks"],
    ["http"],
    ["nbdserver/watch"],
    ["scheduler/planner", "scheduler/calendar"],
    ["scheduler/cost"],
    ["scheduler/jobs"],
    ["scheduler"],
    ["scheduler/state"],
    ["scheduler/hyperd"],
    ["nbdkit-plugins", "fusefs", "nbdserver"],
    ["tools"],
]
# Where a third-party header is included, and nowhere else: files or folders. Tests may include any.
PLACES = {
    r"liburing\.h": ["blockengine/io", "blockengine/ring"],
    r"libdeflate\.h": ["blockengine/codec"],
    r"zstd\.h": ["blockengine/codec"],
    r"xxhash\.h": ["blockengine/base/hash"],
    r"nettle/.*": ["blockengine/base/sha256", "providers/s3/digest"],
    r"rocksdb/.*": ["blockengine/volume/index"],
    r"spdlog/.*": ["blockengine/base/log"],
    r"nbdkit-.*\.h": ["nbdkit-plugins/"],
    r"(fuse|fuse3/).*": ["fusefs/"],
    r"gnutls/.*": ["nbdserver/locks/tls"],
    r"seccomp\.h": ["nbdserver/locks/sandbox"],
    r"toml\+\+/.*": ["blockengine/base/setting_toml"],
    r"sqlite3\.h": ["scheduler/state/sqlite"],
    r"CLI/.*": ["fusefs/", "nbdserver/hypernbd", "scheduler/hyperd/hyperd", "tools/"],
    r"nlohmann/.*": ["blockengine/base/setting_json", "blockengine/volume/", "carbon/feeds/json", "providers/ledger", "providers/s3/credentials", "scheduler/cost/import/json", "scheduler/hyperd/", "scheduler/jobs/keys", "scheduler/state/row_json", "tools/", "nbdserver/watch/routes", "nbdserver/watch/control_client"],
    r"httplib\.h": ["http/exchange", "http/unix_client"],
    r"prometheus/.*": ["nbdserver/watch/prometheus", "scheduler/hyperd/metrics"],
    r"libvirt/.*": ["providers/libvirt/virt"],
    r"libnbd\.h": ["providers/libvirt/nbd_reader", "providers/nbd/", "tools/hyperctl/nbd_writer", "tools/hyperctl/replay"],
    r"curl/.*": ["blockengine/http/http"],
    r"date/.*": ["scheduler/calendar/time_zone"],
    r"(lemon|coin)/.*": ["bench/planner/"],
    r"pugixml\.hpp": ["providers/libvirt/xml", "providers/s3/documents"],
}
SOURCE = re.compile(r"\.(cpp|h|py|sh)$")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)

top = sys.argv[1]
wrong = []


def rank(path):
    """The line and the folder of LAYERS that a file belongs to; None for none (tests)."""
    best = None
    for number, folders in enumerate(LAYERS):
        for folder in folders:
            if path.startswith(folder + "/") and (best is None or len(folder) > len(best[1])):
                best = number, folder
    return best


def check_include(path, bracket, header):
    here, there = rank(path), rank(header)
    if bracket == '"' and not os.path.exists(os.path.join(top, header)):
        wrong.append(f'{path}: includes "{header}", which is not named from the top of the source')
    if there and here and there != here and there[0] >= here[0]:
        wrong.append(f"{path}: includes {header}, which is not below {here[1]}")
    for pattern, places in PLACES.items():
        if re.fullmatch(pattern, header) and here and not any(path.startswith(place) for place in places):
            wrong.append(f"{path}: includes <{header}>, which only {', '.join(places)} may")


for folder, folders, files in os.walk(top):
    folders[:] = [name for name in folders if not name.startswith((".git", "build", "subprojects"))]
    for name in files:
        full = os.path.join(folder, name)
        path = os.path.relpath(full, top)
        script = os.access(full, os.X_OK) and open(full, "rb").read(2) == b"#!"
        if not script and not SOURCE.search(name):
            continue
        with open(full, errors="replace") as file:
            text = file.read()
        if "SPDX-License-Identifier: Apache-2.0" not in "".join(text.splitlines(True)[:3]):
            wrong.append(f"{path}: has no SPDX line at its top")
        if name.endswith((".cpp", ".h")):
            for bracket, header in INCLUDE.findall(text):
                check_include(path, bracket, header)

print("\n".join(sorted(wrong)) or "- includes point down only, every source file has its licence")
sys.exit(1 if wrong else 0)
