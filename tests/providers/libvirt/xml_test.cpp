// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/xml.h"

#include <gtest/gtest.h>

#include "providers/libvirt/backup.h"
#include "providers/libvirt/guest.h"

namespace hyper::provider::libvirt {
namespace {

constexpr const char* domain = R"(<domain type='kvm'><name>web01</name><uuid>u-1</uuid>
  <os><nvram template='/t'>/var/nv.fd</nvram></os>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/i/a &amp; b.qcow2'/><target dev='vda'/></disk>
    <disk type='block' device='disk'><source dev='/dev/vg/b'/><target dev='vdb'/></disk>
    <disk type='network' device='disk'><driver type='raw'/><source protocol='rbd' name='p/c'/><target dev='vdc'/></disk>
    <disk type='file' device='cdrom'><source file='/i/cd.iso'/><target dev='sda'/></disk>
    <disk type='file' device='disk'><target dev='vdd'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
    <tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
  </devices>
  <seclabel type='dynamic' model='apparmor'><label>x</label></seclabel>
  <seclabel type='dynamic' model='dac'><label>+64055:+64055</label></seclabel></domain>)";

TEST(LibvirtGuest, has_the_disks_that_hold_something) {
    auto guest = parse_guest(domain);
    ASSERT_TRUE(guest);
    ASSERT_EQ(guest->disks.size(), 3u);
    EXPECT_EQ(guest->disk("vda")->source, "/i/a & b.qcow2");
    EXPECT_TRUE(guest->disk("vda")->tracks_changes());
    EXPECT_EQ(guest->disk("vdb")->source, "/dev/vg/b");
    EXPECT_EQ(guest->disk("vdb")->format, "raw");
    EXPECT_EQ(guest->disk("vdc")->source, "");
    EXPECT_EQ(guest->disk("sda"), nullptr);
    EXPECT_EQ(guest->disk("vdd"), nullptr);
}

TEST(LibvirtGuest, has_an_agent_a_tpm_variables_and_a_user) {
    auto guest = parse_guest(domain);
    ASSERT_TRUE(guest);
    EXPECT_EQ(guest->name + guest->uuid, "web01u-1");
    EXPECT_EQ(guest->nvram, "/var/nv.fd");
    EXPECT_EQ(guest->qemu_user, "64055");
    EXPECT_TRUE(guest->has_tpm);
    EXPECT_TRUE(guest->agent_answers);
}

TEST(LibvirtGuest, is_not_made_of_other_text) {
    EXPECT_FALSE(parse_guest("<domain><name>"));
    EXPECT_FALSE(parse_guest("<network/>"));
    EXPECT_FALSE(parse_guest(""));
}

TEST(LibvirtBackup, names_paths_as_they_are) {
    BackupPlan plan{"/s '<&/hyper-a.sock", "", {{"vda", "/s '<&/hyper-a-vda.scratch", "hyper-a-b", "bm", false}}, {"vdb"}};
    auto xml = Xml::parse(backup_xml(plan));
    ASSERT_TRUE(xml);
    EXPECT_EQ(xml->text("/domainbackup/server/@socket"), plan.socket);
    EXPECT_EQ(xml->text("//disk[@name='vda']/scratch/@file"), plan.disks[0].scratch);
    EXPECT_EQ(xml->text("//disk[@name='vda']/@incremental"), "hyper-a-b");
    EXPECT_EQ(xml->text("//disk[@name='vdb']/@backup"), "no");
    EXPECT_TRUE(is_job_of(backup_xml(plan), plan.socket));
    EXPECT_FALSE(is_job_of(backup_xml(plan), "/s '<&/hyper-b.sock"));
    EXPECT_FALSE(is_job_of("", ""));
}

}  // namespace
}  // namespace hyper::provider::libvirt
