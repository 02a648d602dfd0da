#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Linux's own NBD client, in a small guest under TCG, reads one export of hypernbd, makes a file system on another, fills it
# and finds it well. The guest is Debian's kernel with a busybox; it reaches the Unix socket through QEMU's user network.
. "$(dirname "$0")/lib.sh"
PATH=$PATH:/usr/sbin:/sbin
need "$hypernbd" nbdinfo qemu-system-x86_64 nbd-client busybox socat cpio modprobe mkfs.ext4 e2fsck debugfs

kernel=$(find /boot -name 'vmlinuz-*-cloud-amd64' | sort -V | tail -n 1)
[ -r "$kernel" ] || skip "there is no kernel of linux-image-cloud-amd64"

make_disk alternating readable.raw
truncate -s 96M writable.raw
serve_hypernbd --rw writable.raw readable.raw

# The guest: busybox, the programs below with their libraries, and modules in the order in which they load.
mkdir -p guest/{bin,proc,sys,dev,etc,mnt,tmp}
cp "$(command -v busybox)" guest/bin/
for applet in $(busybox --list | grep -vx busybox); do ln -sf busybox "guest/bin/$applet"; done
for program in nbd-client mkfs.ext4 e2fsck; do
    path=$(command -v $program)
    cp -L --remove-destination "$path" guest/bin/
    ldd "$path" | grep -o '/[^ ]*' | while read -r library; do cp -L --parents "$library" guest; done
done
for module in virtio_pci virtio_net nbd; do
    modprobe -S "${kernel#*/vmlinuz-}" --show-depends $module
done | while read -r _ path _; do
    [ -f "guest/${path##*/}" ] && continue
    cp "$path" guest/
    echo "insmod /${path##*/}"
done >load
cp /etc/mke2fs.conf guest/etc/
{
    cat <<'INIT'
#!/bin/busybox sh
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t devtmpfs dev /dev
INIT
    cat load
    cat <<'INIT'
guest() {
    set -e
    ifconfig lo 127.0.0.1 up
    ifconfig eth0 10.0.2.15 netmask 255.255.255.0 up
    ln -s /proc/mounts /etc/mtab
    nbd-client -N readable -R 10.0.2.100 10809 /dev/nbd1
    echo "readable: $(sha256sum </dev/nbd1)"
    nbd-client -N writable 10.0.2.100 10809 /dev/nbd0
    [ "$(blockdev --getsize64 /dev/nbd0)" = 100663296 ]
    mkfs.ext4 -q -L hyper /dev/nbd0
    mount -t ext4 -o discard /dev/nbd0 /mnt
    for file in 1 2 3 4 5 6; do dd if=/dev/nbd1 of=/mnt/$file bs=64k count=100 skip=$((file * 50)) 2>/dev/null; done
    sync
    rm /mnt/3
    (cd /mnt && sha256sum 1 2 4 5 6 >sums)
    umount /mnt
    echo 3 >/proc/sys/vm/drop_caches
    e2fsck -fn /dev/nbd0
    mount -t ext4 -o ro /dev/nbd0 /mnt
    (cd /mnt && sha256sum -c sums)
    umount /mnt
    nbd-client -d /dev/nbd0
    nbd-client -d /dev/nbd1
    echo "the guest is content"
}
(guest)
poweroff -f
INIT
} >guest/init
chmod +x guest/init
(cd guest && find . | cpio -o -H newc --quiet) | gzip -1 >initrd

claim "a kernel reads, makes a file system, writes, discards and reads back"
timeout 300 qemu-system-x86_64 -accel tcg -m 256 -nodefaults -no-reboot -display none -serial file:console.log \
    -kernel "$kernel" -initrd initrd -append "console=ttyS0 panic=-1 quiet rdinit=/init" -device virtio-net-pci,netdev=net \
    -netdev "user,id=net,restrict=on,guestfwd=tcp:10.0.2.100:10809-cmd:socat - UNIX-CONNECT:$socket" ||
    die "the guest did not end"
grep -q "the guest is content" console.log || die "the guest is not content"
grep -q "readable: $(sha <readable.raw) " console.log || die "the guest read other bytes"

claim "what it wrote is in the file"
e2fsck -fn writable.raw >fsck.log 2>&1 || die "the file system is damaged"
for file in 1 2 4 5 6; do
    debugfs -R "dump /$file $file" writable.raw 2>/dev/null
    cmp "$file" <(dd if=readable.raw bs=64k count=100 skip=$((file * 50)) status=none) || die "file $file has other bytes"
done
ends_well
