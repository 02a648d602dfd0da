// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/place.h"

#include <gtest/gtest.h>

namespace hyper::provider::libvirt {
namespace {

TEST(LibvirtPlace, is_a_domain_and_a_disk_with_options_in_the_uri_or_beside_it) {
    auto place = Place::parse("libvirt://web%2001/vda?scratch=/srv/s/&connect=qemu:///session%3Fsocket=/a%26b", {{"quiesce", "no"}});
    ASSERT_TRUE(place) << place.error().message;
    EXPECT_EQ(place->domain, "web 01");
    EXPECT_EQ(place->target, "vda");
    EXPECT_EQ(place->scratch, "/srv/s");
    EXPECT_EQ(place->connect, "qemu:///session?socket=/a&b");
    EXPECT_EQ(place->quiesce, Quiesce::no);
}

TEST(LibvirtPlace, means_all_of_a_system_where_nothing_is_said) {
    auto place = Place::parse("libvirt://", {});
    ASSERT_TRUE(place);
    EXPECT_EQ(place->domain + place->target, "");
    EXPECT_EQ(place->connect, "qemu:///system");
    EXPECT_EQ(place->quiesce, Quiesce::automatic);
}

TEST(LibvirtPlace, comes_back_from_the_uri_that_is_noted) {
    Place place;
    place.connect = "qemu+ssh://me@host/system?keyfile=/a b&no_tty=1#x%";
    place.scratch = "/with space/\xc3\xa4";
    auto again = Place::parse(place.uri_of("5710a4d9-a6f3-4f70-99b4-c746ebea30bd"), {});
    ASSERT_TRUE(again) << again.error().message;
    EXPECT_EQ(again->domain, "5710a4d9-a6f3-4f70-99b4-c746ebea30bd");
    EXPECT_EQ(again->connect, place.connect);
    EXPECT_EQ(again->scratch, place.scratch);
}

TEST(LibvirtPlace, refuses_what_makes_no_sense) {
    for (const char* uri : {"libvirt:/web01", "nbd://web01", "libvirt:///vda", "libvirt://web01/vd%a", "libvirt://web01/%00", "libvirt://a/b/c",
                            "libvirt://a/b?x=1", "libvirt://a?scratch", "libvirt://a?scratch=relative", "libvirt://a?quiesce=perhaps",
                            "libvirt://web01/vda'/><x"})
        EXPECT_EQ(Place::parse(uri, {}).error().kind, HYPER_BAD_CONFIGURATION) << uri;
}

TEST(LibvirtPlace, is_local_without_a_host) {
    for (const auto& [uri, local] : std::vector<std::pair<std::string, bool>>{{"qemu:///system", true},
                                                                              {"qemu:///session?socket=/x", true},
                                                                              {"qemu+unix:///system", true},
                                                                              {"qemu+ssh://root@host/system", false},
                                                                              {"qemu+tls://host/system", false}}) {
        Place place;
        place.connect = uri;
        EXPECT_EQ(place.is_local(), local) << uri;
    }
}

TEST(LibvirtDiskName, is_a_domain_and_a_target_or_a_target_alone) {
    Place place;
    EXPECT_FALSE(DiskName::parse("vda", place));
    EXPECT_EQ(DiskName::parse("web01/vda", place)->domain, "web01");
    place.domain = "web02";
    EXPECT_EQ(DiskName::parse("vda", place)->domain, "web02");
    EXPECT_FALSE(DiskName::parse("web01/", place));
    EXPECT_FALSE(DiskName::parse("web01/v'a", place));
}

TEST(LibvirtMark, comes_back_from_its_text) {
    Mark mark;
    ASSERT_TRUE(Mark::parse("hyper-abc-def/vda/1234", mark));
    EXPECT_EQ(mark.checkpoint, "hyper-abc-def");
    EXPECT_EQ(mark.target, "vda");
    EXPECT_EQ(mark.size_bytes, 1234u);
    EXPECT_EQ(mark.lineage(), "hyper-abc-");
    EXPECT_EQ(mark.text(), "hyper-abc-def/vda/1234");
}

TEST(LibvirtMark, says_of_a_stopped_guest_when_it_was_read) {
    Mark mark;
    ASSERT_TRUE(Mark::parse("hyper-abc-def/vda/1234/4af", mark));
    EXPECT_EQ(mark.checkpoint, "hyper-abc-def");
    EXPECT_EQ(mark.size_bytes, 1234u);
    EXPECT_EQ(mark.read, "4af");
    EXPECT_EQ(mark.text(), "hyper-abc-def/vda/1234/4af");
}

// A lineage that were too short would take checkpoints along that are not of it.
TEST(LibvirtMark, of_another_provider_or_without_a_lineage_is_none) {
    for (const char* text : {"", "hyper-abc-def", "hyper-abc-def/vda", "hyper-abc-def/vda/", "hyper-abc-def/vda/12x", "hyper-abc/vda/12",
                             "hyper-/vda/12", "theirs/vda/12", "a-b-c/vda/12", "hyper-a-b/../etc/12", "hyper-a'b-c/vda/12", "hyper-abc-def/vda/12/", "hyper-abc-def/vda/12/a/b"}) {
        Mark mark;
        EXPECT_FALSE(Mark::parse(text, mark)) << text;
    }
}

}  // namespace
}  // namespace hyper::provider::libvirt
