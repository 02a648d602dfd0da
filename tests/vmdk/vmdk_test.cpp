// SPDX-License-Identifier: Apache-2.0
// Reading VMDKs: against qemu-img as the model, against other writers, and hostile ones.
#include "convert/vmdk/vmdk.h"

#include <fmt/format.h>

#include "convert/image.h"
#include "convert/vmdk/layout.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

using namespace test;

std::shared_ptr<const Image> must_open(const std::string& path, const OpenOptions& options = {}) {
    auto image = open_image(engine(), path, options);
    EXPECT_TRUE(image) << (image ? "" : image.error().message);
    return image ? *image : nullptr;
}

// Expects that opening fails with `code` and a message that holds `part`.
void expect_refused(const std::string& path, int code, const std::string& part) {
    auto image = open_image(engine(), path);
    ASSERT_FALSE(image) << path;
    EXPECT_EQ(image.error().code, code) << image.error().message;
    EXPECT_NE(image.error().message.find(part), std::string::npos) << image.error().message;
}

void write_text(const std::string& path, const std::string& text) { write_file(path, bytes_of_text(text)); }

// A descriptor with the given lines after the fixed ones.
std::string descriptor(const std::string& create_type, const std::string& lines) {
    return fmt::format("# Disk DescriptorFile\nversion=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"{}\"\n{}\n",
                       create_type, lines);
}

template <class T>
void poke(const std::string& path, uint64_t offset, T value) {
    auto bytes = read_file(path);
    ASSERT_LE(offset + sizeof value, bytes.size());
    store_le<T>(bytes.data() + offset, value);
    write_file(path, bytes);
}

// A raw disk of random data and zeros in `dir`, its size no multiple of a grain.
std::string make_raw(const ScratchDir& dir, uint64_t size_bytes = 70 * MiB + 3 * 512, uint64_t seed = 1) {
    std::string path = dir.path("disk.raw");
    write_sparse(*pattern(size_bytes, random_runs(size_bytes, 4096, 0.3, seed)), path);
    return path;
}

void expect_equals_raw(const std::string& raw, const std::string& vmdk) {
    auto expected = must_open(raw), actual = must_open(vmdk);
    if (!expected || !actual) return;
    EXPECT_EQ(expected->size_bytes(), actual->size_bytes());
    expect_same_content(*expected, *actual);
    expect_consistent_reads(*actual, 42);
}

class EverySubformat : public testing::TestWithParam<const char*> {};

TEST_P(EverySubformat, of_qemu_reads_as_the_raw_disk) {
    ScratchDir dir;
    std::string raw = make_raw(dir), vmdk = dir.path("disk.vmdk");
    must_run(fmt::format("qemu-img convert -f raw -O vmdk -o subformat={} {} {}", GetParam(), raw, vmdk));
    expect_equals_raw(raw, vmdk);
    auto image = must_open(vmdk);
    ASSERT_TRUE(image);
    EXPECT_EQ(image->info().subformat, GetParam());
}

TEST_P(EverySubformat, of_qemu_reads_every_awkward_disk) {
    ScratchDir dir;
    for (const AwkwardDisk& disk : awkward_disks()) {
        bool flat = std::string(GetParam()).ends_with("Flat");
        if (disk.size_bytes > TiB && flat) continue;
        SCOPED_TRACE(disk.name);
        std::string raw = dir.path(disk.name + ".raw"), vmdk = dir.path(disk.name + ".vmdk");
        write_sparse(*pattern(disk.size_bytes, disk.runs), raw);
        must_run(fmt::format("qemu-img convert -f raw -O vmdk -o subformat={} {} {}", GetParam(), raw, vmdk));
        auto expected = must_open(raw), actual = must_open(vmdk);
        ASSERT_TRUE(expected && actual);
        EXPECT_EQ(round_up(expected->size_bytes(), 512), actual->size_bytes());
        expect_same_content(*expected, *actual);
    }
}

INSTANTIATE_TEST_SUITE_P(Vmdk, EverySubformat,
                         testing::Values("monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse",
                                         "twoGbMaxExtentFlat", "streamOptimized"));

TEST(Vmdk, reads_a_disk_split_over_several_extents) {
    ScratchDir dir;
    std::string raw = dir.path("disk.raw");
    write_sparse(*pattern(5 * GiB, {{0, 4096}, {2 * GiB - 65536, 131072}, {4 * GiB - 512, 1024}, {5 * GiB - 512, 512}}), raw);
    for (std::string subformat : {"twoGbMaxExtentSparse", "twoGbMaxExtentFlat"}) {
        std::string vmdk = dir.path(subformat + ".vmdk");
        must_run(fmt::format("qemu-img convert -f raw -O vmdk -o subformat={} {} {}", subformat, raw, vmdk));
        expect_equals_raw(raw, vmdk);
    }
}

TEST(Vmdk, tells_the_adapter_type) {
    ScratchDir dir;
    for (std::string adapter : {"ide", "lsilogic", "buslogic"}) {
        std::string vmdk = dir.path(adapter + ".vmdk");
        must_run(fmt::format("qemu-img create -f vmdk -o adapter_type={} {} 10M", adapter, vmdk));
        auto image = must_open(vmdk);
        ASSERT_TRUE(image);
        bool told = false;
        for (const auto& detail : image->info().details) told |= detail.name == "adapter type" && detail.value == adapter;
        EXPECT_TRUE(told) << adapter;
    }
}

// A child of 40 MiB over a parent, each with data of its own; both written by qemu-io.
struct Chain {
    ScratchDir dir;
    std::string base = dir.path("base.vmdk"), child = dir.path("child.vmdk");
    Chain() {
        must_run(fmt::format("qemu-img create -f vmdk {} 40M", base));
        must_run(fmt::format("qemu-io -f vmdk -c 'write -P 17 0 1M' -c 'write -P 18 35M 100k' {}", base));
        must_run(fmt::format("cd {} && qemu-img create -f vmdk -b base.vmdk -F vmdk child.vmdk", dir.dir().string()));
        must_run(fmt::format("qemu-io -f vmdk -c 'write -P 33 512k 64k' -c 'write -P 34 36700672 4096' {}", child));
    }
};

TEST(Vmdk, reads_its_parent_where_it_has_no_grain) {
    Chain chain;
    std::string raw = chain.dir.path("child.raw");
    must_run(fmt::format("qemu-img convert -O raw {} {}", chain.child, raw));
    expect_equals_raw(raw, chain.child);
    auto image = must_open(chain.child);
    ASSERT_TRUE(image && image->parent());
    EXPECT_EQ(image->parent()->path(), chain.base);
}

TEST(Vmdk, reads_zero_grains_over_a_parent) {
    Chain chain;
    std::string child = chain.dir.path("zeroed.vmdk"), raw = chain.dir.path("zeroed.raw");
    must_run(fmt::format("cd {} && qemu-img create -f vmdk -o zeroed_grain=on -b base.vmdk -F vmdk zeroed.vmdk",
                         chain.dir.dir().string()));
    must_run(fmt::format("qemu-io -f vmdk -c 'write -z 64k 256k' {}", child));
    must_run(fmt::format("qemu-img convert -O raw {} {}", child, raw));
    expect_equals_raw(raw, child);
    auto bytes = read_file(raw);
    EXPECT_TRUE(all_zero(std::span(bytes).subspan(65536, 262144)));
    EXPECT_FALSE(all_zero(std::span(bytes).first(65536)));
}

TEST(Vmdk, refuses_a_parent_whose_cid_has_changed) {
    Chain chain;
    // qemu-img writes no leading zeros, so the new id keeps the old one's length.
    must_run(R"(perl -0pi -e 's/\nCID=([0-9a-f]+)\n/"\nCID=" . "1" x length($1) . "\n"/e' )" + chain.base);
    expect_refused(chain.child, EINVAL, "1111 of the parent");
}

TEST(Vmdk, refuses_a_chain_that_loops) {
    Chain chain;
    must_run(fmt::format("sed -b -i 's/parentFileNameHint=\"base.vmdk\"/parentFileNameHint=\"child.vmdk\"/; ' {} && truncate -s +1 {}",
                         chain.child, chain.child));
    expect_refused(chain.child, ELOOP, "loops");
}

TEST(Vmdk, identity_covers_extents_and_parents) {
    Chain chain;
    auto before = must_open(chain.child)->identity().digest;
    must_run("touch -d 2001-01-01 " + chain.base);
    EXPECT_NE(must_open(chain.child)->identity().digest, before);
}

TEST(Vmdk, reads_streams_of_another_writer) {
    ScratchDir dir;
    std::string raw = make_raw(dir), vmdk = dir.path("stream.vmdk");
    must_run(fmt::format("truncate -s %65536 {}", raw));
    must_run(fmt::format("/usr/bin/python3 -m VMDKstream {} {}", raw, vmdk));
    expect_equals_raw(raw, vmdk);
}

TEST(Vmdk, reads_vmfs_flat_as_esxi_writes_it) {
    ScratchDir dir;
    write_sparse(*pattern(MiB, {{4096, 8192}}), dir.path("web-flat.vmdk"));
    write_text(dir.path("web.vmdk"),
               "# Disk DescriptorFile\nversion=1\nencoding=\"UTF-8\"\nCID=fffffffe\nparentCID=ffffffff\n"
               "isNativeSnapshot=\"no\"\ncreateType=\"vmfs\"\n\n# Extent description\nRW 2048 VMFS \"web-flat.vmdk\"\n\n"
               "# The Disk Data Base \n#DDB\n\nddb.adapterType = \"lsilogic\"\nddb.virtualHWVersion = \"14\"\n");
    must_run(fmt::format("cp {} {}", dir.path("web-flat.vmdk"), dir.path("web.raw")));
    expect_equals_raw(dir.path("web.raw"), dir.path("web.vmdk"));
}

TEST(Vmdk, joins_flat_and_sparse_extents) {
    ScratchDir dir;
    write_sparse(*pattern(3 * MiB, {{0, 3 * MiB}}), dir.path("a.flat"));
    must_run(fmt::format("qemu-img create -f vmdk {} 1M && qemu-io -f vmdk -c 'write -P 9 100k 1k' {}", dir.path("b.vmdk"),
                         dir.path("b.vmdk")));
    write_text(dir.path("all.vmdk"), descriptor("twoGbMaxExtentSparse", "RW 2048 FLAT \"a.flat\" 2048\n"
                                                          "RW 2048 SPARSE \"b.vmdk\"\nRW 1024 FLAT \"a.flat\" 0"));
    must_run(fmt::format("qemu-img convert -f vmdk -O raw {} {}", dir.path("all.vmdk"), dir.path("all.raw")));
    expect_equals_raw(dir.path("all.raw"), dir.path("all.vmdk"));
}

TEST(Vmdk, reads_zeros_for_a_zero_extent) {
    ScratchDir dir;
    write_sparse(*pattern(MiB, {{0, MiB}}), dir.path("a.flat"));
    write_text(dir.path("x.vmdk"), descriptor("custom", "RW 4096 ZERO\nRW 2048 FLAT \"a.flat\" 0\nRW 1 ZERO"));
    must_run(fmt::format("cd {} && (head -c 2M /dev/zero; cat a.flat; head -c 512 /dev/zero) > x.raw", dir.dir().string()));
    expect_equals_raw(dir.path("x.raw"), dir.path("x.vmdk"));
}

// Hostile descriptors.

TEST(Vmdk, refuses_extent_names_that_lead_elsewhere) {
    ScratchDir dir;
    std::string path = dir.path("x.vmdk");
    for (std::string name : {"/etc/shadow", "../x", "..", "a/b", "a\\b"}) {
        write_text(path, descriptor("monolithicFlat", fmt::format("RW 1 FLAT \"{}\" 0", name)));
        expect_refused(path, EPERM, "extent file name \"" + name + "\"");
    }
    write_text(path, descriptor("monolithicFlat", "RW 1 FLAT \"nbd:x\" 0"));
    expect_refused(path, EPERM, "extent 1");
}

TEST(Vmdk, refuses_an_extent_that_is_a_link_out_of_the_folder) {
    ScratchDir dir;
    std::string path = dir.path("x.vmdk");
    must_run("ln -s /etc/hostname " + dir.path("link"));
    write_text(path, descriptor("monolithicFlat", "RW 1 FLAT \"link\" 0"));
    expect_refused(path, EPERM, "extent 1");
}

TEST(Vmdk, opens_a_file_of_many_extents_once) {
    ScratchDir dir;
    write_file(dir.path("a.flat"), std::vector<std::byte>(512, std::byte{1}));
    std::string lines;
    for (int i = 0; i < 4000; ++i) lines += "RW 1 FLAT \"a.flat\" 0\n";
    write_text(dir.path("x.vmdk"), descriptor("custom", lines));
    auto open_files = [] {
        return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), std::filesystem::directory_iterator());
    };
    auto before = open_files();
    auto image = must_open(dir.path("x.vmdk"));
    ASSERT_TRUE(image);
    EXPECT_LE(open_files() - before, 2);
    EXPECT_EQ(read_all(*image), std::vector<std::byte>(4000 * 512, std::byte{1}));
}

TEST(Vmdk, refuses_a_grain_table_that_two_entries_share) {
    ScratchDir dir;
    std::string path = dir.path("x.vmdk");
    must_run("qemu-img create -q -f vmdk " + path + " 1G && qemu-io -c 'write 0 64k' " + path);
    auto header = read_file(path);
    uint64_t gd = load_le<uint64_t>(header.data() + 56) * sector_bytes;
    poke<uint32_t>(path, gd + 20, load_le<uint32_t>(header.data() + gd));
    expect_refused(path, EINVAL, "overlaps another");
}

TEST(Vmdk, refuses_a_descriptor_that_names_itself) {
    ScratchDir dir;
    std::string path = dir.path("x.vmdk");
    write_text(path, descriptor("monolithicFlat", "RW 1 FLAT \"x.vmdk\" 0" + std::string(600, '\n')));
    expect_refused(path, ELOOP, "is the descriptor itself");
}

TEST(Vmdk, refuses_types_that_it_does_not_read_by_name) {
    ScratchDir dir;
    std::string path = dir.path("x.vmdk");
    for (std::string type : {"seSparse", "vmfsSparse", "vmfsRDM", "fullDevice", "partitionedDevice", "nonsense"}) {
        write_text(path, descriptor(type, "RW 1 FLAT \"a\" 0"));
        expect_refused(path, ENOTSUP, "createType \"" + type + "\"");
    }
    for (std::string type : {"VMFSRDM", "SESPARSE", "VMFSSPARSE", "VMFSRAW"}) {
        write_text(path, descriptor("custom", "RW 1 " + type + " \"a\""));
        expect_refused(path, ENOTSUP, "extent type \"" + type + "\"");
    }
    write_text(path, std::string("COWD") + std::string(2048, '\0'));
    expect_refused(path, ENOTSUP, "COWD");
    write_text(path, std::string("\xbe\xba\xfe\xca\0\0\0\0", 8) + std::string(2048, '\0'));
    expect_refused(path, ENOTSUP, "seSparse");
}

TEST(Vmdk, refuses_broken_descriptors_naming_the_line) {
    ScratchDir dir;
    std::string path = dir.path("x.vmdk");
    auto expect = [&](const std::string& text, int code, const std::string& part) {
        write_text(path, text);
        expect_refused(path, code, part);
    };
    expect("", EINVAL, "version=");
    expect("hello world\n", EINVAL, "descriptor line 1");
    expect("version=1\nCID=1\nRW 1 ZERO\n", EINVAL, "createType=");
    expect("version=1\ncreateType=\"vmfs\"\nRW 1 ZERO\n", EINVAL, "CID=");
    expect(descriptor("vmfs", ""), EINVAL, "no extent line");
    expect(descriptor("vmfs", "RW 18446744073709551615 ZERO"), EFBIG, "18446744073709551615");
    expect(descriptor("vmfs", "RW 99999999999999999999 ZERO"), EINVAL, "99999999999999999999");
    expect(descriptor("vmfs", "RW 137438953472 ZERO\nRW 1 ZERO"), EFBIG, "64 TiB");
    expect(descriptor("vmfs", "RW 1 FLAT \"missing\" 0"), ENOENT, "missing");
    expect(descriptor("vmfs", "RW 1 FLAT \"x.vmdk"), EINVAL, "quotes");
    expect(descriptor("vmfs", "CID=123456789\nRW 1 ZERO"), EINVAL, "123456789");
    expect(descriptor("vmfs", "parentCID=00000001\nRW 1 ZERO"), EINVAL, "parentFileNameHint");
    expect(descriptor("vmfs", "RW 1 ZERO\nencryption.keySafe = \"x\""), ENOTSUP, "encrypted");
    must_run(fmt::format("truncate -s 2M {}", path));
    expect_refused(path, EINVAL, "1 MiB");
    write_text(dir.path("short"), "x");
    expect(descriptor("vmfs", "RW 1 FLAT \"short\" 0"), EINVAL, "too few");
}

// Hostile sparse extents: one field of a good file changed.

struct SparseFile {
    ScratchDir dir;
    std::string path = dir.path("x.vmdk");
    explicit SparseFile(const std::string& subformat = "monolithicSparse") {
        std::string raw = dir.path("x.raw");
        write_sparse(*pattern(40 * MiB, {{0, 262144}}), raw);
        must_run(fmt::format("qemu-img convert -O vmdk -o subformat={} {} {}", subformat, raw, path));
    }
    vmdk::SparseHeader header() {
        vmdk::SparseHeader header;
        auto bytes = read_file(path);
        std::memcpy(&header, bytes.data(), sizeof header);
        return header;
    }
    // The file offset of the first grain's table entry.
    uint64_t first_entry() {
        auto bytes = read_file(path);
        return load_le<uint32_t>(bytes.data() + header().gd_offset * 512) * uint64_t{512};
    }
    void expect_unreadable(const std::string& part) {
        auto image = must_open(path);
        ASSERT_TRUE(image);
        std::vector<std::byte> buffer(65536);
        auto result = engine().read(*image, 0, buffer);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().code, EIO);
        EXPECT_NE(result.error().message.find(part), std::string::npos) << result.error().message;
    }
};

TEST(Vmdk, refuses_headers_with_impossible_fields) {
    auto expect = [](uint64_t offset, auto value, int code, const std::string& part) {
        SparseFile file;
        poke(file.path, offset, value);
        expect_refused(file.path, code, part);
    };
    expect(4, uint32_t{4}, ENOTSUP, "version 4");
    expect(8, uint32_t{1 << 20}, ENOTSUP, "flags");
    expect(12, ~uint64_t{0}, EFBIG, "capacity 18446744073709551615");
    expect(12, uint64_t{0}, EINVAL, "capacity 0");
    expect(12, uint64_t{1} << 33, EINVAL, "gdOffset");
    expect(12, uint64_t{81921}, EINVAL, "but capacity is 81921");
    expect(20, uint64_t{0}, EINVAL, "grainSize 0");
    expect(20, uint64_t{127}, EINVAL, "grainSize 127");
    expect(20, ~uint64_t{0}, EINVAL, "grainSize");
    expect(28, uint64_t{1} << 60, EINVAL, "descriptorOffset");
    expect(36, uint64_t{1} << 60, EINVAL, "descriptorSize");
    expect(44, uint32_t{513}, ENOTSUP, "numGTEsPerGT 513");
    expect(56, uint64_t{0}, EINVAL, "gdOffset 0");
    expect(56, uint64_t{1} << 55, EINVAL, "gdOffset");
    expect(56, ~uint64_t{0}, EINVAL, "footer");
    expect(73, uint32_t{0x0a0a200a}, EINVAL, "transferred as text");
}

TEST(Vmdk, reads_error_for_a_grain_out_of_place) {
    for (auto [sector, part] : {std::pair{0x7fffffffu, "past the end"}, {1u, "within header"}, {38u, "over the grain directory"}}) {
        SparseFile file;
        if (sector == 38) sector = static_cast<unsigned>(file.header().gd_offset);
        poke(file.path, file.first_entry(), sector);
        file.expect_unreadable(part);
    }
}

TEST(Vmdk, reads_error_for_a_grain_table_out_of_place) {
    for (auto [sector, part] : {std::pair{0xffffffffu, "past the end"}, {1u, "within header"}}) {
        SparseFile file;
        poke(file.path, file.header().gd_offset * 512, sector);
        file.expect_unreadable(part);
    }
}

TEST(Vmdk, reads_error_for_a_marker_that_contradicts_its_grain) {
    SparseFile file("streamOptimized");
    auto bytes = read_file(file.path);
    uint64_t grain = load_le<uint32_t>(bytes.data() + file.first_entry()) * uint64_t{512};
    poke(file.path, grain, uint64_t{256});
    file.expect_unreadable("says lba 256 instead of 0");
    poke(file.path, grain, uint64_t{0});
    poke(file.path, grain + 8, uint32_t{131073});
    file.expect_unreadable("says size 131073");
}

TEST(Vmdk, reads_error_for_a_compressed_bomb) {
    SparseFile file("streamOptimized");
    auto bytes = read_file(file.path);
    uint64_t grain = load_le<uint32_t>(bytes.data() + file.first_entry()) * uint64_t{512};
    // A stream of 1 MiB zeros where a grain of 64 KiB belongs.
    must_run(fmt::format("/usr/bin/python3 -c \"import zlib,struct; z=zlib.compress(bytes(1<<20)); f=open('{}','r+b'); "
                         "f.seek({}); f.write(struct.pack('<QI',0,len(z))+z)\"", file.path, grain));
    file.expect_unreadable("more than 65536 bytes");
}

TEST(Vmdk, refuses_a_part_of_a_split_disk) {
    ScratchDir dir;
    must_run(fmt::format("qemu-img create -f vmdk -o subformat=twoGbMaxExtentSparse {} 10M", dir.path("x.vmdk")));
    expect_refused(dir.path("x-s001.vmdk"), EINVAL, "open its descriptor instead");
}

}  // namespace
}  // namespace hyper
