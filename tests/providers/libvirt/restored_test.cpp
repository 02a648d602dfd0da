// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/restored.h"

#include <gtest/gtest.h>

#include "providers/libvirt/guest.h"
#include "providers/libvirt/xml.h"

namespace hyper::provider::libvirt {
namespace {

const char* const kept = R"(
<domain type='kvm'>
  <name>web01</name>
  <uuid>6f1c7a1e-0000-4000-8000-000000000001</uuid>
  <genid>6f1c7a1e-0000-4000-8000-000000000002</genid>
  <sysinfo type='smbios'><system><entry name='uuid'>6f1c7a1e-0000-4000-8000-000000000001</entry><entry name='serial'>7</entry></system></sysinfo>
  <os><type>hvm</type><loader type='pflash'>/ovmf</loader><nvram template='/vars'>/nvram/web01</nvram></os>
  <devices>
    <disk type='network' device='disk'><driver name='qemu' type='raw' cache='none'/><auth username='u'/><source protocol='rbd' name='x'/>
      <backingStore type='file'/><target dev='vda' bus='virtio'/><serial>S1</serial></disk>
    <disk type='file' device='disk'><source file='/images/other'/><target dev='vdb'/></disk>
    <disk type='file' device='cdrom'><source file='/images/cd.iso'/><target dev='sda'/></disk>
    <interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
    <serial type='unix'><source mode='bind' path='/run/web01.serial'/></serial>
    <serial type='unix'><source mode='connect' path='/run/theirs'/></serial>
  </devices>
</domain>)";

class LibvirtRestored : public testing::Test {
  protected:
    Xml restored(const std::string& nvram = "/new/disk.nvram") {
        auto text = restored_xml(kept, {"web<02>", {{"vda", "/new/disk&.qcow2", "qcow2"}}, nvram});
        EXPECT_TRUE(text) << text.error().message;
        return *Xml::parse(*text);
    }
};

TEST_F(LibvirtRestored, has_the_one_disk_where_it_is_now) {
    Xml xml = restored();
    auto guest = parse_guest(xml.print());
    ASSERT_TRUE(guest);
    ASSERT_EQ(guest->disks.size(), 1u);
    EXPECT_EQ(guest->disks[0].target, "vda");
    EXPECT_EQ(guest->disks[0].type, "file");
    EXPECT_EQ(guest->disks[0].source, "/new/disk&.qcow2");
    EXPECT_EQ(guest->disks[0].format, "qcow2");
    EXPECT_EQ(xml.text("//disk[target/@dev='vda']/driver/@cache"), "none");
    EXPECT_EQ(xml.text("//disk[target/@dev='vda']/serial"), "S1");
    EXPECT_FALSE(xml.has("//disk/auth") || xml.has("//backingStore") || xml.has("//source[@protocol]"));
}

TEST_F(LibvirtRestored, has_all_disks_that_it_is_to_have) {
    auto text = restored_xml(kept, {"web02", {{"vdb", "/new/b", "raw"}, {"vda", "/new/a", "qcow2"}}, ""});
    ASSERT_TRUE(text) << text.error().message;
    Xml xml = *Xml::parse(*text);
    EXPECT_EQ(xml.text("//disk[target/@dev='vda']/source/@file"), "/new/a");
    EXPECT_EQ(xml.text("//disk[target/@dev='vda']/driver/@type"), "qcow2");
    EXPECT_EQ(xml.text("//disk[target/@dev='vdb']/source/@file"), "/new/b");
    EXPECT_EQ(xml.text("//disk[target/@dev='vdb']/driver/@type"), "raw");
}

TEST_F(LibvirtRestored, is_another_machine_than_the_one_that_was_kept) {
    Xml xml = restored();
    EXPECT_EQ(xml.text("/domain/name"), "web<02>");
    EXPECT_FALSE(xml.has("/domain/uuid") || xml.has("//entry[@name='uuid']") || xml.has("//mac"));
    EXPECT_TRUE(xml.has("/domain/genid") && xml.has("//entry[@name='serial']") && xml.has("//interface/source"));
    EXPECT_EQ(xml.text("/domain/genid"), "");
}

TEST_F(LibvirtRestored, takes_nothing_from_the_one_that_was_kept) {
    Xml xml = restored();
    EXPECT_FALSE(xml.has("//disk[@device='cdrom']/source"));
    EXPECT_TRUE(xml.has("//disk[@device='cdrom']"));
    EXPECT_EQ(xml.text("//source[@mode='bind']/@path"), "/run/web01.serial.web<02>");
    EXPECT_EQ(xml.text("//source[@mode='connect']/@path"), "/run/theirs");
    EXPECT_EQ(xml.text("/domain/os/nvram"), "/new/disk.nvram");
    EXPECT_EQ(restored("").text("/domain/os/nvram"), "");
}

TEST_F(LibvirtRestored, without_such_a_disk_or_description_is_refused) {
    Restored wish{"web02", {{"vdx", "/new", "raw"}}, ""};
    EXPECT_EQ(restored_xml(kept, wish).error().kind, HYPER_BAD_CONFIGURATION);
    wish.disks = {{"vda", "/a", "raw"}, {"vdx", "/x", "raw"}};
    EXPECT_EQ(restored_xml(kept, wish).error().kind, HYPER_BAD_CONFIGURATION);
    wish.disks = {{"", "/new", "raw"}};  // there are two
    EXPECT_EQ(restored_xml(kept, wish).error().kind, HYPER_BAD_CONFIGURATION);
    for (const char* text : {"", "<domain", "<network/>", "<domain/>"}) EXPECT_EQ(restored_xml(text, wish).error().kind, HYPER_BAD_CONFIGURATION) << text;
    EXPECT_TRUE(restored_xml("<domain><name>a</name><devices><disk><target dev='hda'/></disk></devices></domain>", wish));
}

}  // namespace
}  // namespace hyper::provider::libvirt
