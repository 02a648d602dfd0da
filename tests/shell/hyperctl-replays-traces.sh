#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
. "$(dirname "$0")/lib.sh"
need nbdkit python3

cat >mixed.trace <<'END'
hypernbd-trace 1
# two clients
5000000 1 read 0 0 4096 0 20000 disk
6000000 1 read 0 4096 65536 0 50000 disk
7000000 2 block_status 0 0 1048576 0 30000 disk
7500000 2 read 0 99999999999 512 22 300 disk
8000000 2 write 1 8192 4096 0 30000 disk
8100000 2 flush 0 0 0 0 1000000 disk
9000000 1 trim 0 16384 4096 0 30000 disk
9100000 1 write_zeroes 2 32768 4096 0 30000 disk
9200000 1 cache 0 0 4096 0 30000 disk
left-out 3
END
grep -Ev ' (write|trim|write_zeroes) ' mixed.trace >reads.trace

# What nbdkit was asked is in its log.
serve_memory() {  # SIZE [OPTION...]
    local count=${#servers[@]} size=$1
    shift
    socket=$scratch/memory$count.sock
    nbdkit --foreground --unix "$socket" --pidfile "$scratch/memory$count.pid" memory "$size" \
        --filter=log logfile="$scratch/asked" "$@" 2>"$scratch/memory$count.log" &
    servers+=($!)
    eventually test -s "$scratch/memory$count.pid" || die "nbdkit did not start"
}

claim "show sums up a trace"
"$hyperctl" trace show mixed.trace >show
grep -qx 'requests: 9' show && grep -qx 'left out: 3' show && grep -qx 'clients: 2' show || die "$(cat show)"
grep -Eq '^disk +read +3 +68 KiB +[0-9.]+ +1 ' show || die "$(cat show)"
"$hyperctl" trace show mixed.trace --json | grep -q '"left-out": 3' || die "no JSON"

claim "a trace that writes is refused without --rw, before anything is sent"
serve_memory 1M
! "$hyperctl" trace replay mixed.trace "$(uri '')" 2>error || die "it was replayed"
grep -q '3 of its requests write; --rw' error || die "$(cat error)"
! grep -q ' Connect ' asked || die "something was sent: $(cat asked)"

claim "replay sends what was recorded"
"$hyperctl" trace replay mixed.trace "$(uri '')" --rw >replay || die "$(cat replay)"
grep -Eq '^read +replayed +2 +68 KiB +0 ' replay || die "$(cat replay)"
grep -Eq '^ +recorded +8 ' replay || die "$(cat replay)"
grep -q 'has no such command: 1$' replay || die "$(cat replay)"
grep -q 'left out of the trace .*: 3$' replay || die "$(cat replay)"
for asked in 'Read id=[0-9]+ offset=0x0 count=0x1000 ' 'Read id=[0-9]+ offset=0x1000 count=0x10000 ' \
    'Write id=[0-9]+ offset=0x2000 count=0x1000 fua=1 ' 'Flush ' 'Trim id=[0-9]+ offset=0x4000 count=0x1000 ' \
    'Zero id=[0-9]+ offset=0x8000 count=0x1000 trim=0 ' 'Cache id=[0-9]+ offset=0x0 count=0x1000 ' 'Extents '; do
    [ "$(grep -Ec "connection=[12] $asked" asked)" = 1 ] || die "not sent once: $asked $(cat asked)"
done
[ "$(grep -c ' Connect ' asked)" = 2 ] || die "not a connection for each client"
[ "$(grep -Ec 'connection=2 (Extents|Write|Flush) ' asked) $(grep -Ec 'connection=1 (Read|Trim|Zero|Cache) ' asked)" = "3 5" ] ||
    die "clients share a connection: $(cat asked)"

claim "as recorded it takes as long as it did, and at full speed it does not"
cat >slow.trace <<'END'
hypernbd-trace 1
0 1 read 0 0 512 0 1000 disk
1500000000 1 read 0 512 512 0 1000 disk
END
"$hyperctl" trace replay slow.trace "$(uri '')" --json >recorded.json
"$hyperctl" trace replay slow.trace "$(uri '')" --speed max --json >max.json
python3 - <<'END'
import json
recorded, most = json.load(open("recorded.json")), json.load(open("max.json"))
assert recorded["seconds"] >= 1.5 and abs(recorded["recorded-seconds"] - 1.500001) < 1e-9, recorded
assert most["seconds"] < recorded["seconds"], most
END

claim "-c says how many connections"
>asked
"$hyperctl" trace replay mixed.trace "$(uri '')" --rw --speed max -c 1 >replay
[ "$(grep -c ' Connect ' asked)" = 1 ] || die "more connections"

claim "many requests, and large ones, all get their answers"
python3 - >many.trace <<'END'
print("hypernbd-trace 1")
for i in range(20000):
    length = 1 << 20 if i % 100 == 0 else 4096
    print(f"{i * 1000} {i % 5} read 0 {i * 4096 % (31 << 20)} {length} 0 1000 disk")
END
serve_memory 32M
"$hyperctl" trace replay many.trace "$(uri '')" --speed max --json >many.json
python3 - <<'END'
import json
read = json.load(open("many.json"))["commands"]["read"]
assert read["replayed"]["requests"] == 20000 and read["replayed"]["errors"] == 0, read
assert read["replayed"]["bytes"] == read["recorded"]["bytes"] == 200 * (1 << 20) + 19800 * 4096, read
END

claim "requests that fail are counted, and the exit code is 3"
serve_memory 1M --filter=error error-pread=EIO error-pread-rate=100%
status=0
"$hyperctl" trace replay reads.trace "$(uri '')" --speed max >replay || status=$?
[ $status = 3 ] || die "exit code $status"
grep -Eq '^read +replayed +2 +0 B +2 ' replay || die "$(cat replay)"

claim "what cannot be replayed is refused"
serve_memory 64K
refused() {  # MESSAGE ARGUMENT...
    local message=$1
    shift
    ! "$hyperctl" trace replay "$@" >/dev/null 2>error || die "replayed: $*"
    grep -q "$message" error || die "$(cat error)"
}
refused 'reaches to 1048576 bytes, and .* has only 65536' reads.trace "$(uri '')"
sed 's/ disk$/ other/;2,4!d;1i hypernbd-trace 1' reads.trace >other.trace
(cat reads.trace; sed 1d other.trace) >two.trace
refused 'choose one with --export' two.trace "$(uri '')"
refused 'no requests to replay' two.trace "$(uri '')" --export third
refused 'Connection refused\|No such file' reads.trace "nbd+unix:///?socket=$scratch/none"
echo text >no.trace
refused 'does not begin with' no.trace "$(uri '')"
! "$hyperctl" trace show no.trace 2>error || die "shown"

claim "--export chooses the requests of one export"
serve_memory 1M
"$hyperctl" trace replay two.trace "$(uri '')" --export other --speed max --json >two.json
grep -q '"requests": 2' two.json || die "$(cat two.json)"
