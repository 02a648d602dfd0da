# SPDX-License-Identifier: Apache-2.0
# What the shell tests share. A test sources this first; it gets a scratch folder of its own as working directory,
# and whatever it started or mounted is gone when it ends, however it ends.
#
#     BUILD    the build folder (from meson), SRC the top of the source
#     need TOOL...               skips the test (77) where a tool is missing
#     make_disk KIND FILE        a raw disk: see make-disk for the kinds
#     serve_nbd SPEC...          sets $socket;  $(uri NAME) is the URI of an export
#     serve_hypernbd ARG...      the same with hypernbd; $server is its process, HYPERNBD another build's program
#     serve_hyperd CONFIG ARG... hyperd over a configuration; $daemon is its process, $api its socket
#     ask_hyperd METHOD TARGET [JSON]    by curl: the answer's body goes to `answer`, its status to standard output
#     ends_well                  fails unless that hypernbd ends with 0, and soon, when it is told to
#     mount_hyperfs SPEC...      sets $mount
#     same FORMAT IMAGE RAW      fails unless IMAGE holds the same disk as the raw file
set -euo pipefail

SRC=${SRC:-$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)}
BUILD=${BUILD:-$SRC/build}
plugin=$BUILD/nbdkit-plugins/nbdkit-hyper-plugin.so
hyperfs=$BUILD/fusefs/hyperfs
hyperctl=$BUILD/tools/hyperctl
hypernbd=${HYPERNBD:-$BUILD/nbdserver/hypernbd}
hyperd=$BUILD/scheduler/hyperd/hyperd
export HYPER_PROVIDERS=$BUILD/providers

# Every view of a disk: the suffix of its name. And those that end at 2040 GiB.
views=(.raw .qcow2 .vmdk .streamOptimized.vmdk .monolithicFlat.vmdk .monolithicFlat-flat.vmdk
    .vhd .fixed.vhd .vhdx .fixed.vhdx)
awkward_kinds=(one-sector empty full last-byte odd-sectors odd-bytes alternating random)

scratch=$(mktemp -d "${TMPDIR:-/tmp}/hyper-test-XXXXXX")
mounts=() servers=()
clean_up() {
    local status=$? at pid
    set +e
    trap - EXIT INT TERM
    cd /
    for at in "${mounts[@]}"; do
        mountpoint -q "$at" && { fusermount3 -u "$at" 2>/dev/null || umount "$at" 2>/dev/null || umount -l "$at"; }
    done
    for pid in "${servers[@]}"; do kill "$pid" 2>/dev/null; done
    for pid in "${servers[@]}"; do gone "$pid" || kill -9 "$pid" 2>/dev/null; done
    if [ $status -ne 0 ] && [ $status -ne 77 ]; then
        for log in "$scratch"/*.log; do [ -s "$log" ] && { echo "--- $(basename "$log")"; tail -n 20 "$log"; }; done
    fi
    rm -rf --one-file-system "$scratch"
    exit $status
}
trap clean_up EXIT
trap 'exit 130' INT TERM
cd "$scratch"
export HYPER_ROOT=$scratch/hyper

die() { echo "FAILED: $*" >&2; exit 1; }
claim() { echo "- $*"; }
skip() { echo "SKIPPED: $*"; exit 77; }
need() {
    local tool
    for tool; do
        [ "$tool" = fuse ] && { [ -w /dev/fuse ] || skip "there is no /dev/fuse to write to"; continue; }
        command -v "$tool" >/dev/null || [ -e "$tool" ] || skip "$tool is missing"
    done
}
need_root() { [ "$(id -u)" = 0 ] || skip "only root can $*"; }

# Waits until a command succeeds, for 20 seconds at most.
eventually() {
    local deadline=$((SECONDS + 20))
    until "$@"; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}
# Whether a process ends within 5 seconds.
gone() {
    local deadline=$((SECONDS + 5))
    while kill -0 "$1" 2>/dev/null; do
        [ $SECONDS -lt $deadline ] || return 1
        sleep 0.05
    done
}

make_disk() { python3 "$SRC/tests/shell/make-disk" "$1" "$2"; }

# nbdkit 1.32 logs to a file only from the foreground.
serve_nbd() {
    local count=${#servers[@]}
    socket=$scratch/nbd$count.sock
    nbdkit --foreground --unix "$socket" --pidfile "$scratch/nbd$count.pid" "$plugin" "$@" 2>"$scratch/nbd$count.log" &
    servers+=($!)
    # The pid is written when the socket listens.
    eventually test -s "$scratch/nbd$count.pid" ||
        die "nbdkit did not start: $(cat "$scratch/nbd$count.log")"
}
uri() { echo "nbd+unix:///$1?socket=$socket"; }

serve_hypernbd() {
    local count=${#servers[@]}
    socket=$scratch/nbd$count.sock
    "$hypernbd" --socket "$socket" "$@" 2>"$scratch/nbd$count.log" &
    server=$!
    servers+=("$server")
    eventually nbdinfo --list "$(uri '')" >/dev/null 2>&1 || die "hypernbd did not start: $(cat "$scratch/nbd$count.log")"
}
ends_well() {
    local status=0
    kill "$server"
    gone "$server" || die "hypernbd does not end"
    wait "$server" || status=$?
    [ $status = 0 ] || die "hypernbd ended with $status"
}

serve_hyperd() {
    mkdir -p "$HYPER_ROOT"
    api=$HYPER_ROOT/run/hyperd.sock
    "$hyperd" --hyperctl "$hyperctl" --config "$@" 2>>"$scratch/hyperd.log" &
    daemon=$!
    servers+=("$daemon")
    eventually curl -sf --unix-socket "$api" -o answer http://localhost/v1/jobs || die "hyperd did not start: $(cat "$scratch/hyperd.log")"
}
ask_hyperd() {
    curl -s --unix-socket "$api" -o answer -w '%{http_code}\n' -X "$1" ${3:+-H 'Content-Type: application/json' -d "$3"} "http://localhost$2"
}

mount_hyperfs() {
    need fuse fusermount3
    mount=$scratch/mount${#mounts[@]}
    mkdir "$mount"
    "$hyperfs" -f "$@" "$mount" >"$mount.log" 2>&1 &
    servers+=($!)
    mounts+=("$mount")
    eventually mountpoint -q "$mount" || die "hyperfs did not mount"
}

# qemu's name of a view's format, from the view's suffix.
driver_of() {
    case $1 in
        *-flat.vmdk | *.raw) echo raw ;;
        *.vhdx) echo vhdx ;;
        *.vhd) echo vpc ;;
        *.vmdk) echo vmdk ;;
        *.qcow2) echo qcow2 ;;
        *) echo raw ;;
    esac
}
# Sizes may differ by a padding of zeros; a view of a disk that is no whole number of sectors has one.
same() {
    local said
    said=$(qemu-img compare -f "$1" -F raw "$2" "$3" 2>&1) || die "$2 ($1) and $3: $said"
}
# The same for the disk "huge", at the places where it has data, and around them.
same_huge() {  # FORMAT IMAGE RAW
    local reads=() at
    for at in 0 1099511623680 1099511627776 5497558134784; do reads+=(-c "read -v $at 4096"); done
    reads+=(-c "read -v 1099511692288 12288")
    qemu-io -r -f "$1" "${reads[@]}" "$2" | grep -E '^[0-9a-f]+:' >range.a || die "$2 ($1) cannot be read"
    qemu-io -r -f raw "${reads[@]}" "$3" | grep -E '^[0-9a-f]+:' >range.b
    cmp range.a range.b || die "$2 ($1) and $3 differ"
}
sha() { sha256sum | cut -d' ' -f1; }
