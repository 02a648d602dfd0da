// SPDX-License-Identifier: Apache-2.0
#include "catalog/catalog.h"

#include <algorithm>
#include <filesystem>

#include "tests/support/support.h"

namespace hyper {
namespace {

namespace fs = std::filesystem;
using test::must_run;
using test::ScratchDir;

class CatalogTest : public testing::Test {
  protected:
    void make_raw(const std::string& name, size_t size_bytes = 64 * KiB) {
        fs::create_directories(fs::path(scratch.path(name)).parent_path());
        std::vector<std::byte> bytes(size_bytes, std::byte{0x5a});
        test::write_file(scratch.path(name), bytes);
    }
    void make_text(const std::string& name, std::string_view text) {
        test::write_file(scratch.path(name), bytes_of_text(text));
    }
    std::unique_ptr<Catalog> open(std::vector<std::string> specs = {}, const CatalogOptions& options = {}) {
        if (specs.empty()) specs.push_back(scratch.dir().string());
        auto catalog = Catalog::open(test::engine(), specs, options);
        EXPECT_TRUE(catalog) << catalog.error().message;
        return catalog ? std::move(*catalog) : nullptr;
    }
    static std::vector<std::string> names(Catalog& catalog) {
        std::vector<std::string> names;
        for (const Disk& disk : catalog.disks()) names.push_back(disk.name);
        return names;
    }
    static std::vector<std::string> export_names(Catalog& catalog) {
        std::vector<std::string> names;
        for (const Export& e : catalog.exports()) names.push_back(e.name);
        return names;
    }
    static int open_error(Catalog& catalog, std::string_view name) {
        auto source = catalog.open_export(name);
        return source ? 0 : source.error().code;
    }
    using Names = std::vector<std::string>;

    ScratchDir scratch;
};

TEST_F(CatalogTest, names_a_file_spec_by_its_file_name_without_suffix) {
    make_raw("one/web01.img");
    auto catalog = open({scratch.path("one/web01.img")});
    EXPECT_EQ(names(*catalog), Names{"web01"});
    EXPECT_EQ(*catalog->default_name(), "web01");
    EXPECT_EQ((*catalog->open_export("web01"))->size_bytes(), 64 * KiB);
}

TEST_F(CatalogTest, names_of_a_directory_spec_have_its_sub_folders) {
    make_raw("web01/root.raw");
    make_raw("web01/deep/er/data.img");
    make_raw("notes.txt");
    make_raw(".hidden.raw");
    make_raw(".trash/old.raw");
    EXPECT_EQ(names(*open()), (Names{"web01/deep/er/data", "web01/root"}));
}

TEST_F(CatalogTest, notices_that_an_extent_of_a_vmdk_was_written) {
    must_run("qemu-img create -q -f vmdk -o subformat=monolithicFlat " + scratch.path("disk.vmdk") + " 4M");
    auto catalog = open();
    uint64_t before = (*catalog->open_export("disk.qcow2"))->size_bytes();
    must_run("qemu-io -f raw -c 'write 1M 1M' " + scratch.path("disk-flat.vmdk"));
    EXPECT_GE((*catalog->open_export("disk.qcow2"))->size_bytes(), before + MiB);
}

TEST_F(CatalogTest, notices_that_the_data_file_of_a_qcow2_was_written) {
    must_run("cd " + scratch.dir().string() +
             " && qemu-img create -q -f qcow2 -o data_file=disk.data,preallocation=metadata disk.qcow2 4M");
    auto catalog = open();
    uint64_t before = (*catalog->open_export("disk.vmdk"))->size_bytes();
    must_run("qemu-io -f raw -c 'write 1M 1M' " + scratch.path("disk.data"));
    EXPECT_GE((*catalog->open_export("disk.vmdk"))->size_bytes(), before + MiB);
}

TEST_F(CatalogTest, describes_every_name_that_it_lists) {
    must_run("cd " + scratch.dir().string() + " && qemu-img create -q -f qcow2 a.qcow2 1M && qemu-img snapshot -c old a.qcow2");
    make_raw("b.raw");
    auto catalog = open();
    auto exports = catalog->exports();
    EXPECT_GT(exports.size(), 20u);
    for (const Export& item : exports) EXPECT_EQ(catalog->describe(item.name), item.description);
    EXPECT_EQ(catalog->describe("nobody"), "");
}

TEST_F(CatalogTest, describes_a_name_without_opening_an_image) {
    make_text("broken.qcow2", "this is no image");
    auto catalog = open();
    EXPECT_NE(catalog->describe("broken.vhdx").find("VHDX, dynamic of "), std::string::npos);
}

TEST_F(CatalogTest, shows_what_was_added_and_removed_since) {
    make_raw("a.raw");
    auto catalog = open();
    make_raw("b.raw");
    EXPECT_EQ(open_error(*catalog, "b"), 0);
    fs::remove(scratch.path("a.raw"));
    EXPECT_EQ(names(*catalog), Names{"b"});
}

TEST_F(CatalogTest, follows_links_to_files_within_the_directory_only) {
    ScratchDir outside;
    test::write_file(outside.path("secret.raw"), bytes_of_text("secret"));
    make_raw("real.raw");
    fs::create_symlink("real.raw", scratch.path("alias.raw"));
    fs::create_symlink(outside.path("secret.raw"), scratch.path("leak.raw"));
    fs::create_directory_symlink(outside.dir(), scratch.path("folder"));
    EXPECT_EQ(names(*open()), (Names{"alias", "real"}));
}

TEST_F(CatalogTest, leaves_out_extents_of_vmdks) {
    must_run("cd " + scratch.dir().string() +
             " && qemu-img create -q -f vmdk one.vmdk 1M"
             " && qemu-img create -q -f vmdk -o subformat=monolithicFlat two.vmdk 1M"
             " && qemu-img create -q -f vmdk -o subformat=twoGbMaxExtentSparse three.vmdk 1M"
             " && qemu-img create -q -f vmdk -o subformat=twoGbMaxExtentFlat four.vmdk 1M"
             " && qemu-img create -q -f vmdk -o subformat=streamOptimized five.vmdk 1M");
    // A guest can write what it likes into a flat extent.
    make_text("six-flat.vmdk", "# Disk DescriptorFile\n");
    // An extent of no telling name.
    make_raw("seven.vmdk");
    EXPECT_EQ(names(*open()), (Names{"five", "four", "one", "three", "two"}));
}

TEST_F(CatalogTest, lists_images_of_one_name_with_a_problem_that_names_both) {
    make_raw("web.raw");
    make_raw("web.img");
    auto catalog = open();
    auto disks = catalog->disks();
    ASSERT_EQ(disks.size(), 1u);
    EXPECT_NE(disks[0].problem.find("web.raw"), std::string::npos) << disks[0].problem;
    EXPECT_NE(disks[0].problem.find("web.img"), std::string::npos) << disks[0].problem;
    EXPECT_EQ(open_error(*catalog, "web"), EEXIST);
    EXPECT_EQ(open_error(*catalog, "web.qcow2"), EEXIST);
    EXPECT_TRUE(catalog->exports().empty());
}

TEST_F(CatalogTest, refuses_two_file_specs_of_one_name) {
    make_raw("a/web.raw");
    make_raw("b/web.img");
    auto catalog = Catalog::open(test::engine(), {scratch.path("a/web.raw"), scratch.path("b/web.img")});
    ASSERT_FALSE(catalog);
    EXPECT_EQ(catalog.error().code, EEXIST);
    EXPECT_TRUE(Catalog::open(test::engine(), {scratch.path("a/web.raw"), scratch.path("a")}));
}

TEST_F(CatalogTest, refuses_a_spec_that_is_not_there) {
    auto catalog = Catalog::open(test::engine(), {scratch.path("nothing.raw")});
    ASSERT_FALSE(catalog);
    EXPECT_EQ(catalog.error().code, ENOENT);
    EXPECT_NE(catalog.error().message.find("nothing.raw"), std::string::npos);
}

TEST_F(CatalogTest, never_takes_a_name_for_a_path) {
    make_raw("in/disk.raw");
    make_raw("out.raw");
    auto catalog = open({scratch.path("in")});
    for (std::string name : {"../out", "../out.raw", "/etc/passwd", "", ".", "..", ".raw", "disk/", "disk@", "@"})
        EXPECT_EQ(open_error(*catalog, name), ENOENT) << name;
}

TEST_F(CatalogTest, gives_the_raw_disk_by_its_name_and_by_its_raw_suffix) {
    make_raw("web.img");
    auto catalog = open();
    auto plain = catalog->open_export("web"), suffixed = catalog->open_export("web.raw");
    ASSERT_TRUE(plain && suffixed);
    EXPECT_EQ(test::read_all(**plain), test::read_file(scratch.path("web.img")));
    EXPECT_EQ(test::read_all(**suffixed), test::read_file(scratch.path("web.img")));
}

TEST_F(CatalogTest, refuses_a_suffix_that_its_subformat_or_profile_does_not_go_with) {
    make_raw("web.img");
    auto catalog = open();
    for (std::string name : {"web.dynamic.vmdk", "web.streamOptimized.vhd", "web.aws.vhd", "web.nonsense.qcow2", "web.since-41.vmdk", "web.since-.qcow2"}) {
        auto source = catalog->open_export(name);
        ASSERT_FALSE(source) << name;
        EXPECT_EQ(source.error().code, EINVAL) << name;
        EXPECT_NE(source.error().message.find("try"), std::string::npos) << source.error().message;
    }
    for (std::string name : {"web.txt", "web.a.b.vhd", "web..vhd", "other.vhd", "web.qcow2.gz"})
        EXPECT_EQ(open_error(*catalog, name), ENOENT) << name;
}

TEST_F(CatalogTest, says_where_it_is_not_known_what_changed) {
    make_raw("web.img");
    auto source = open()->open_export("web.since-41.qcow2");
    ASSERT_FALSE(source);
    EXPECT_EQ(source.error().code, ENOENT);
    EXPECT_NE(source.error().message.find("web.since-41.qcow2: it is not known what changed since 41"), std::string::npos)
        << source.error().message;
}

// One that changed since its state 41 in its first 64 KiB.
class ChangedImage : public Image, public ChangeMap {
  public:
    static std::shared_ptr<const Image> make() {
        auto image = std::make_shared<ChangedImage>();
        image->changes_ = std::shared_ptr<const ChangeMap>(std::shared_ptr<void>(), image.get());
        return image;
    }
    ChangedImage() : Image("changed", {}) { size_bytes_ = MiB; }
    Result<void> map(uint64_t, uint64_t length, PieceList& out) const override {
        out.zeros(length);
        return {};
    }
    std::string disk() const override { return "fake"; }
    std::string change_id() const override { return "42"; }
    std::vector<std::string> earlier() const override { return {"41"}; }
    Result<std::optional<std::vector<ChangedRun>>> changed_since(std::string_view state) const override {
        if (state != "41") return std::nullopt;
        return std::vector<ChangedRun>{{0, 64 * KiB}};
    }
};

TEST_F(CatalogTest, a_view_since_a_state_has_a_bitmap_of_its_name) {
    auto wish = parse_view_suffix(".since-41.qcow2");
    ASSERT_TRUE(wish && *wish);
    auto view = open_wish(test::engine(), **wish, ChangedImage::make(), "changed.since-41.qcow2");
    ASSERT_TRUE(view) << view.error().message;
    test::write_sparse(**view, scratch.path("changed.qcow2"));
    auto image = open_image(test::engine(), scratch.path("changed.qcow2"));
    ASSERT_TRUE(image) << image.error().message;
    auto& details = (*image)->info().details;
    auto bitmap = std::ranges::find(details, "bitmap", &ImageInfo::Detail::name);
    ASSERT_NE(bitmap, details.end());
    EXPECT_EQ(bitmap->value, "41");
    wish = parse_view_suffix(".since-40.qcow2");
    ASSERT_TRUE(wish && *wish);
    EXPECT_FALSE(open_wish(test::engine(), **wish, ChangedImage::make(), "changed.since-40.qcow2"));
}

TEST_F(CatalogTest, pads_the_disk_for_a_profile) {
    make_raw("web.img", 3 * MiB);
    auto catalog = open();
    auto source = catalog->open_export("web.gcp.raw");
    ASSERT_TRUE(source) << source.error().message;
    EXPECT_EQ((*source)->size_bytes(), GiB);
}

TEST_F(CatalogTest, reads_a_name_with_the_longest_disk_name) {
    make_raw("web.img", 64 * KiB);
    make_raw("web.gcp.img", 128 * KiB);
    auto catalog = open();
    auto source = catalog->open_export("web.gcp.raw");
    ASSERT_TRUE(source);
    EXPECT_EQ((*source)->size_bytes(), 128 * KiB);
    auto exports = export_names(*catalog);
    std::sort(exports.begin(), exports.end());
    EXPECT_EQ(std::adjacent_find(exports.begin(), exports.end()), exports.end());
}

TEST_F(CatalogTest, tells_which_disk_a_name_is_of) {
    must_run("cd " + scratch.dir().string() + " && qemu-img create -q -f qcow2 a.qcow2 1M && qemu-img snapshot -c old a.qcow2");
    make_raw("web.img");
    make_raw("web.fixed.img");
    auto catalog = open();
    for (std::string name : {"web", "web.raw", "web.vhd", "web.streamOptimized.vmdk", "web.gcp.raw"})
        EXPECT_EQ(catalog->disk_of(name), "web") << name;
    for (std::string name : {"web.fixed", "web.fixed.vhd", "web.fixed.fixed.vhd"})
        EXPECT_EQ(catalog->disk_of(name), "web.fixed") << name;
    for (std::string name : {"a", "a@old", "a@old.vmdk"}) EXPECT_EQ(catalog->disk_of(name), "a") << name;
    for (std::string name : {"", "we", "web@old", "web.txt", "../web"}) EXPECT_EQ(catalog->disk_of(name), "") << name;
    make_raw("late.raw");
    EXPECT_EQ(catalog->disk_of("late.vhdx"), "late");
}

TEST_F(CatalogTest, exports_only_names_that_open) {
    make_raw("web.img");
    must_run("truncate -s 3T " + scratch.path("large.raw"));
    auto catalog = open();
    auto exports = catalog->exports();
    ASSERT_GE(exports.size(), 2u);
    for (const Export& e : exports) EXPECT_EQ(open_error(*catalog, e.name), 0) << e.name;
    auto listed = export_names(*catalog);
    EXPECT_EQ(std::count(listed.begin(), listed.end(), "large"), 1);
    EXPECT_EQ(std::count(listed.begin(), listed.end(), "large.vhd"), 0) << "VHD ends at 2040 GiB";
}

TEST_F(CatalogTest, gives_the_same_object_for_the_same_name_until_the_file_changes) {
    make_raw("web.img");
    auto catalog = open();
    auto first = catalog->open_export("web.gcp.raw"), again = catalog->open_export("web.gcp.raw");
    ASSERT_TRUE(first && again);
    EXPECT_EQ(*first, *again);
    make_raw("web.img", 2 * MiB);
    auto changed = catalog->open_export("web.gcp.raw");
    ASSERT_TRUE(changed);
    EXPECT_NE(*changed, *first);
}

TEST_F(CatalogTest, keeps_a_view_open_although_nobody_holds_it) {
    make_raw("web.img");
    auto catalog = open();
    std::weak_ptr<const Source> seen = *catalog->open_export("web");
    EXPECT_FALSE(seen.expired());
}

TEST_F(CatalogTest, lists_an_image_that_cannot_be_opened_with_the_reason) {
    make_text("broken.qcow2", "this is no qcow2 file");
    auto catalog = open();
    auto disks = catalog->disks();
    ASSERT_EQ(disks.size(), 1u);
    EXPECT_NE(disks[0].problem.find("broken.qcow2"), std::string::npos) << disks[0].problem;
    EXPECT_TRUE(catalog->exports().empty());
}

TEST_F(CatalogTest, has_a_default_only_where_there_is_one_disk) {
    make_raw("a.raw");
    EXPECT_EQ(*open()->default_name(), "a");
    make_raw("b.raw");
    auto name = open()->default_name();
    ASSERT_FALSE(name);
    EXPECT_EQ(name.error().code, EINVAL);
    EXPECT_NE(name.error().message.find("a, b"), std::string::npos) << name.error().message;
}

TEST_F(CatalogTest, takes_the_format_option_for_file_specs) {
    make_raw("disk.bin");
    CatalogOptions options;
    options.open.format = Format::raw;
    auto catalog = open({scratch.path("disk.bin")}, options);
    EXPECT_EQ(names(*catalog), Names{"disk.bin"});
    EXPECT_EQ(open_error(*catalog, "disk.bin"), 0);
}

}  // namespace
}  // namespace hyper
