#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# virt-v2v converts a small real guest, made by debootstrap, that it reads through NBD out of a VMDK image.
# Two minutes to make the guest, some ten to convert it without KVM.
. "$(dirname "$0")/lib.sh"
need virt-v2v debootstrap nbdkit qemu-img sfdisk mkfs.ext4
need_root "make a guest with debootstrap"
export LIBGUESTFS_BACKEND=direct LIBGUESTFS_BACKEND_SETTINGS=force_tcg TMPDIR=$scratch

mirror=$(apt-get indextargets --format '$(SITE) $(CODENAME)' | awk '$2 == "bookworm" { print $1; exit }')
[ -n "$mirror" ] || die "apt knows no mirror of bookworm"

claim "a Debian guest is made"
umask 022
chmod 755 "$scratch"
mkdir root
debootstrap --variant=minbase --include=linux-image-cloud-amd64,initramfs-tools,systemd-sysv,grub-pc \
    bookworm root "$mirror" >debootstrap.log 2>&1 || die "debootstrap failed"
umount root/proc root/sys 2>/dev/null || true
echo web01 >root/etc/hostname
echo 'LABEL=root / ext4 defaults 0 1' >root/etc/fstab
mkdir -p root/boot/grub
(cd root/boot && kernel=$(echo vmlinuz-*) && cat >grub/grub.cfg <<G
menuentry "Debian" {
    linux /boot/$kernel root=LABEL=root ro console=ttyS0
    initrd /boot/${kernel/vmlinuz/initrd.img}
}
G
)
truncate -s 2G disk.raw
printf 'label: dos\nstart=1MiB, type=83, bootable\n' | sfdisk --quiet disk.raw
mkfs.ext4 -q -F -L root -d root -E offset=1048576 disk.raw 2000000k
qemu-img convert -f raw -O vmdk disk.raw web01.vmdk
rm -rf --one-file-system root disk.raw

claim "virt-v2v converts it from NBD"
# virt-v2v knows NBD sources as localhost and a port only.
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
nbdkit -f --ipaddr 127.0.0.1 --port "$port" --pidfile nbd.pid "$plugin" web01.vmdk 2>nbd.log &
servers+=($!)
eventually test -s nbd.pid || die "nbdkit did not start"
cat >guest.xml <<X
<domain type='qemu'>
  <name>web01</name>
  <memory unit='MiB'>512</memory>
  <vcpu>1</vcpu>
  <os><type arch='x86_64'>hvm</type></os>
  <devices>
    <disk type='network' device='disk'>
      <driver name='qemu' type='raw'/>
      <source protocol='nbd'><host name='localhost' port='$port'/></source>
      <target dev='sda' bus='scsi'/>
    </disk>
  </devices>
</domain>
X
mkdir out
virt-v2v -i libvirtxml guest.xml -o local -os out -of qcow2 >v2v.log 2>&1 || die "virt-v2v failed"
[ -s out/web01-sda ] || die "virt-v2v left no disk"
qemu-img check -q -f qcow2 out/web01-sda || die "the converted disk is damaged"
grep -q 'Finishing off' v2v.log || die "virt-v2v did not finish"
