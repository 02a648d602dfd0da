// SPDX-License-Identifier: Apache-2.0
// Damaged and crafted images: refused, or unreadable where the damage is, with a message that names the field.
#include "tests/qcow2/qcow2_support.h"

namespace hyper {
namespace {

using test::must_run;
using test::poke;
using test::ScratchDir;
namespace field = test::field;

class Qcow2Hostile : public ::testing::Test {
  protected:
    // One data cluster at guest offset 0, in clusters of 64 KiB.
    void SetUp() override {
        image_ = path("a.qcow2");
        must_run("qemu-img create -q -f qcow2 " + image_ + " 4M && qemu-io -f qcow2 -c 'write -P 1 0 64k' " + image_);
        l1_ = test::peek<uint64_t>(image_, field::l1_table_offset);
        l2_ = test::peek<uint64_t>(image_, l1_) & qcow2::offset_mask;
    }
    std::string path(const std::string& name) const { return scratch_.path(name); }
    void expect_refused(int code, const std::string& words) const { test::expect_refused(image_, code, words, as_qcow2()); }
    static OpenOptions as_qcow2() {
        OpenOptions options;
        options.format = Format::qcow2;
        return options;
    }
    void backed_by(const std::string& name, const std::string& format = "raw") const {
        must_run("qemu-img create -q -u -f qcow2 -b '" + name + "' -F " + format + " " + image_ + " 1M");
    }

    ScratchDir scratch_;
    std::string image_;
    uint64_t l1_ = 0, l2_ = 0;
};

TEST_F(Qcow2Hostile, refuses_what_is_no_qcow2_file) {
    poke<uint32_t>(image_, 0, 0x12345678);
    expect_refused(EINVAL, "magic: 0x12345678");
}

// Sparse files of 40 MiB, each with the largest L1 table that there is: 32 MiB.
TEST_F(Qcow2Hostile, bounds_the_memory_of_a_whole_chain) {
    auto level = [&](int i) { return path("level" + std::to_string(i) + ".qcow2"); };
    for (int i = 0; i < 6; ++i) {
        std::string backing = i > 0 ? "-u -F qcow2 -b level" + std::to_string(i - 1) + ".qcow2 " : "";
        must_run("qemu-img create -q -f qcow2 -o cluster_size=512 " + backing + level(i) + " 1M");
        poke<uint64_t>(level(i), field::size, 128 * GiB);
        poke<uint32_t>(level(i), field::l1_size, 4 * MiB);
        poke<uint64_t>(level(i), field::l1_table_offset, 4 * MiB);
        std::filesystem::resize_file(level(i), 40 * MiB);
    }
    EXPECT_TRUE(open_image(test::engine(), level(2)));
    auto image = open_image(test::engine(), level(5));
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().code, EFBIG) << image.error().message;
}

TEST_F(Qcow2Hostile, refuses_an_l2_table_that_two_entries_share) {
    must_run("qemu-img resize -q " + image_ + " 2G");
    uint64_t l1 = test::peek<uint64_t>(image_, field::l1_table_offset);
    poke<uint64_t>(image_, l1 + 16, test::peek<uint64_t>(image_, l1));
    expect_refused(EINVAL, "two entries lead to the L2 table at offset");
}

TEST_F(Qcow2Hostile, refuses_an_unknown_version) {
    poke<uint32_t>(image_, 4, 4);
    expect_refused(ENOTSUP, "version: 4");
}

TEST_F(Qcow2Hostile, refuses_truncation_at_any_place_or_reads_the_rest) {
    auto whole = test::read_file(image_);
    for (size_t length : {0ul, 3ul, 71ul, 103ul, 111ul, 512ul, 65536ul, 65537ul, l1_, l1_ + 4}) {
        test::write_file(path("cut.qcow2"), std::span(whole).first(length));
        auto image = open_image(test::engine(), path("cut.qcow2"));
        ASSERT_FALSE(image) << length;
        EXPECT_EQ(image.error().code, EINVAL) << image.error().message;
    }
    test::write_file(path("cut.qcow2"), std::span(whole).first(l2_ + 100));
    test::expect_unreadable(path("cut.qcow2"), "L1 entry 0");
    test::write_file(path("cut.qcow2"), std::span(whole).first(l2_ + 65536));
    test::expect_unreadable(path("cut.qcow2"), "L2 table 0, entry 0");
}

TEST_F(Qcow2Hostile, refuses_cluster_bits_out_of_range) {
    for (uint32_t bits : {0u, 8u, 22u, 63u, 64u, 0xffffffffu}) {
        poke<uint32_t>(image_, field::cluster_bits, bits);
        expect_refused(EINVAL, "cluster_bits: " + std::to_string(bits));
    }
}

TEST_F(Qcow2Hostile, refuses_a_huge_virtual_size) {
    for (uint64_t size : {uint64_t{1} << 63, ~uint64_t{0}, 64 * TiB + 512}) {
        poke<uint64_t>(image_, field::size, size);
        expect_refused(EFBIG, "size: " + std::to_string(size));
    }
}

TEST_F(Qcow2Hostile, refuses_a_huge_or_small_l1_table) {
    poke<uint32_t>(image_, field::l1_size, 0x7fffffff);
    expect_refused(EINVAL, "l1_size: 2147483647");
    poke<uint32_t>(image_, field::l1_size, 0);
    expect_refused(EINVAL, "l1_size: 0");
    poke<uint32_t>(image_, field::l1_size, 4 << 20);
    expect_refused(EINVAL, "l1_table_offset: 4194304 entries");
}

TEST_F(Qcow2Hostile, refuses_an_l1_table_in_the_header_or_the_refcount_table) {
    poke<uint64_t>(image_, field::l1_table_offset, 0);
    expect_refused(EINVAL, "l1_table_offset: the L1 table at offset 0 lies in the header");
    poke<uint64_t>(image_, field::l1_table_offset, test::peek<uint64_t>(image_, field::refcount_table_offset));
    expect_refused(EINVAL, "lies in the refcount table");
    poke<uint64_t>(image_, field::l1_table_offset, l1_ + 512);
    expect_refused(EINVAL, "l1_table_offset");
    poke<uint64_t>(image_, field::l1_table_offset, 0xffffffffffff0000);
    expect_refused(EINVAL, "l1_table_offset");
}

TEST_F(Qcow2Hostile, refuses_other_fields_out_of_range) {
    poke<uint32_t>(image_, field::refcount_order, 7);
    expect_refused(EINVAL, "refcount_order: 7");
    poke<uint32_t>(image_, field::refcount_order, 4);
    poke<uint32_t>(image_, field::header_length, 0xfffffff8);
    expect_refused(EINVAL, "header_length: 4294967288");
    poke<uint32_t>(image_, field::header_length, 112);
    poke<uint32_t>(image_, field::refcount_table_clusters, 0xffffffff);
    expect_refused(EINVAL, "refcount_table_clusters");
    poke<uint32_t>(image_, field::refcount_table_clusters, 1);
    poke<uint8_t>(image_, field::compression_type, 1);
    expect_refused(EINVAL, "compression_type: 1");
    poke<uint8_t>(image_, field::compression_type, 9);
    expect_refused(ENOTSUP, "compression_type: 9");
}

TEST_F(Qcow2Hostile, refuses_an_endless_header_extension) {
    poke<uint32_t>(image_, 116, 0xffffffff);
    expect_refused(EINVAL, "header extension: 0x");
}

TEST_F(Qcow2Hostile, names_an_unknown_incompatible_feature) {
    poke<uint64_t>(image_, field::incompatible_features, uint64_t{1} << 17);
    expect_refused(ENOTSUP, "incompatible_features: bit 17");
    // A name from the image's own table: the first entry, "dirty bit", becomes that of bit 17.
    ASSERT_EQ(test::peek<uint32_t>(image_, 112), qcow2::extension_feature_names);
    poke<uint16_t>(image_, 120, 17);
    expect_refused(ENOTSUP, "bit 17 (\"dirty bit\")");
}

TEST_F(Qcow2Hostile, refuses_encryption_by_name) {
    poke<uint32_t>(image_, field::crypt_method, 1);
    expect_refused(ENOTSUP, "AES");
    poke<uint32_t>(image_, field::crypt_method, 2);
    expect_refused(ENOTSUP, "LUKS");
}

TEST_F(Qcow2Hostile, warns_of_dirty_and_corrupt_images) {
    poke<uint64_t>(image_, field::incompatible_features, 3);
    auto image = test::open_good(image_);
    ASSERT_TRUE(image);
    ASSERT_EQ(image->info().warnings.size(), 2u);
    EXPECT_NE(image->info().warnings[0].find("dirty"), std::string::npos);
    EXPECT_NE(image->info().warnings[1].find("corrupt"), std::string::npos);
}

TEST_F(Qcow2Hostile, refuses_impossible_snapshot_tables) {
    poke<uint32_t>(image_, field::nb_snapshots, 65537);
    expect_refused(EINVAL, "nb_snapshots: 65537");
    poke<uint32_t>(image_, field::nb_snapshots, 65536);
    poke<uint64_t>(image_, field::snapshots_offset, l2_);
    expect_refused(EINVAL, "snapshot table entry");
    poke<uint64_t>(image_, field::snapshots_offset, 0xffffffffffff0000);
    expect_refused(EINVAL, "snapshot table entry 0 of 65536");
    poke<uint64_t>(image_, field::snapshots_offset, l2_ + 8);
    expect_refused(EINVAL, "snapshots_offset");
}

TEST_F(Qcow2Hostile, refuses_a_snapshot_with_an_impossible_l1_table) {
    must_run("qemu-img snapshot -c one " + image_);
    uint64_t entry = test::peek<uint64_t>(image_, field::snapshots_offset);
    OpenOptions options;
    options.snapshot = "one";
    poke<uint32_t>(image_, entry + 8, 0x10000000);
    test::expect_refused(image_, EINVAL, "l1_size: 268435456", options);
    poke<uint32_t>(image_, entry + 8, 1);
    poke<uint64_t>(image_, entry, 0);
    test::expect_refused(image_, EINVAL, "l1_table_offset", options);
    poke<uint64_t>(image_, entry + 48, uint64_t{1} << 62);
    test::expect_refused(image_, EFBIG, "disk size", options);
    EXPECT_TRUE(test::open_good(image_));
}

TEST_F(Qcow2Hostile, refuses_backing_files_that_loop) {
    std::string other = path("b.qcow2");
    backed_by("b.qcow2", "qcow2");
    must_run("qemu-img create -q -u -f qcow2 -b a.qcow2 -F qcow2 " + other + " 1M");
    auto image = open_image(test::engine(), image_);
    ASSERT_FALSE(image);
    EXPECT_EQ(image.error().code, ELOOP) << image.error().message;
    backed_by("a.qcow2", "qcow2");
    expect_refused(ELOOP, "its own ancestor");
}

TEST_F(Qcow2Hostile, refuses_backing_files_outside_its_folder) {
    for (const char* name : {"/etc/shadow", "../../../../etc/shadow", "nbd://localhost/x", "json:{\"driver\":\"raw\"}",
                             "file:/etc/hostname"}) {
        backed_by("x");
        // qemu-img would look at some of these names itself, so they are put in place of "x" by hand.
        std::string text = name;
        uint64_t at = 60000;
        poke<uint64_t>(image_, 8, at);
        poke<uint32_t>(image_, 16, static_cast<uint32_t>(text.size()));
        for (size_t i = 0; i < text.size(); ++i) poke<uint8_t>(image_, at + i, static_cast<uint8_t>(text[i]));
        expect_refused(EPERM, "backing file");
    }
}

TEST_F(Qcow2Hostile, refuses_a_backing_name_outside_the_first_cluster) {
    poke<uint64_t>(image_, 8, 65530);
    poke<uint32_t>(image_, 16, 20);
    expect_refused(EINVAL, "backing_file_offset");
    poke<uint64_t>(image_, 8, 1000);
    poke<uint32_t>(image_, 16, 1024);
    expect_refused(EINVAL, "backing_file_offset");
}

TEST_F(Qcow2Hostile, refuses_a_data_file_outside_its_folder_and_itself) {
    must_run("cd " + scratch_.dir().string() + " && qemu-img create -q -f qcow2 -o data_file=disk.data " + image_ + " 1M");
    ASSERT_TRUE(test::open_good(image_));
    uint64_t name = 0;
    for (uint64_t at = 112; at < 60000 && name == 0; at += 8)
        if (test::peek<uint32_t>(image_, at) == qcow2::extension_data_file) name = at + 8;
    ASSERT_NE(name, 0u);
    for (const char* text : {"/dev/zero", "../x.data", "nbd:a:123"}) {
        for (size_t i = 0; i < 9; ++i) poke<uint8_t>(image_, name + i, static_cast<uint8_t>(text[i]));
        expect_refused(EPERM, "data file");
    }
    for (size_t i = 0; i < 9; ++i) poke<uint8_t>(image_, name + i, static_cast<uint8_t>("./a.qcow2"[i]));
    expect_refused(EINVAL, "data file");
}

TEST_F(Qcow2Hostile, answers_eio_for_bad_l1_entries) {
    auto expect = [&](uint64_t entry, const std::string& words) {
        poke<uint64_t>(image_, l1_, entry);
        test::expect_unreadable(image_, fmt::format("L1 entry 0 (0x{:016x})", entry));
        test::expect_unreadable(image_, words);
    };
    expect(qcow2::flag_copied | (l2_ + 512), "not a multiple");
    expect(l2_ | 1, "reserved bits");
    expect(l2_ | uint64_t{1} << 60, "reserved bits");
    expect(uint64_t{1} << 40, "past the end of the file");
    expect(l1_, "lies in the L1 table");
    expect(test::peek<uint64_t>(image_, field::refcount_table_offset), "lies in the refcount table");
}

TEST_F(Qcow2Hostile, answers_eio_for_bad_l2_entries) {
    auto expect = [&](uint64_t entry, const std::string& words) {
        poke<uint64_t>(image_, l2_, entry);
        // A copy, since tables are cached by file.
        test::expect_unreadable(image_, fmt::format("L2 table 0, entry 0 (0x{:016x})", entry));
        test::expect_unreadable(image_, words);
    };
    expect(qcow2::flag_copied | (l2_ + 512), "not a multiple");
    expect(l2_ | 2, "reserved bits");
    expect(l2_ | uint64_t{1} << 60, "reserved bits");
    expect(uint64_t{1} << 40, "past the end of");
    expect(l1_, "lies in the L1 table");
    expect(qcow2::flag_compressed | uint64_t{1} << 40, "past the end of");
    expect(qcow2::flag_compressed | 100, "lies in the header");
    // Elsewhere the disk can be read.
    auto image = test::open_good(image_);
    std::vector<std::byte> buffer(512);
    EXPECT_TRUE(test::engine().read(*image, 65536, buffer));
}

TEST_F(Qcow2Hostile, answers_eio_for_a_zero_cluster_in_version_2) {
    must_run("qemu-img amend -f qcow2 -o compat=0.10 " + image_);
    poke<uint64_t>(image_, l2_, 1);
    test::expect_unreadable(image_, "version 2");
}

TEST_F(Qcow2Hostile, answers_eio_for_garbage_in_a_compressed_cluster) {
    uint64_t data = test::peek<uint64_t>(image_, l2_) & qcow2::offset_mask;
    for (uint64_t i = 0; i < 512; ++i) poke<uint8_t>(image_, data + i, static_cast<uint8_t>(255 - i % 7));
    poke<uint64_t>(image_, l2_, qcow2::flag_compressed | data);
    test::expect_unreadable(image_, "compressed");
}

TEST_F(Qcow2Hostile, answers_eio_for_a_contradicting_subcluster_bitmap) {
    must_run("qemu-img create -q -f qcow2 -o extended_l2=on " + image_ + " 4M && qemu-io -f qcow2 -c 'write -P 1 0 64k' " +
             image_);
    uint64_t l2 = test::peek<uint64_t>(image_, test::peek<uint64_t>(image_, field::l1_table_offset)) & qcow2::offset_mask;
    poke<uint64_t>(image_, l2 + 8, 0x00000001ffffffff);
    test::expect_unreadable(image_, "subcluster bitmap 0x00000001ffffffff");
    poke<uint64_t>(image_, l2, 0);
    poke<uint64_t>(image_, l2 + 8, 1);
    test::expect_unreadable(image_, "subcluster bitmap");
}

}  // namespace
}  // namespace hyper
