// SPDX-License-Identifier: Apache-2.0
// The reader against qemu-img: every variant that it writes must read as qemu reads it.
#include "convert/qcow2/qcow2.h"
#include "tests/qcow2/qcow2_support.h"

namespace hyper {
namespace {

using test::must_run;
using test::ScratchDir;

class Qcow2Reader : public ::testing::Test {
  protected:
    void SetUp() override {
        auto disk = test::pattern(6 * MiB + 512, test::random_runs(6 * MiB, 4 * KiB, 0.4, 11));
        test::write_sparse(*disk, path("disk.raw"));
    }
    std::string path(const std::string& name) const { return scratch_.path(name); }
    void create(const std::string& name, const std::string& options, const std::string& size = "6M") {
        must_run("cd " + scratch_.dir().string() + " && qemu-img create -q -f qcow2 " + options + " " + name + " " + size);
    }
    // Writes to it in a few awkward places.
    void io(const std::string& name, const std::string& commands) {
        must_run("cd " + scratch_.dir().string() + " && qemu-io -f qcow2 " + commands + " " + name);
    }
    void expect_as_qemu(const std::string& name, const OpenOptions& options = {}, const std::string& qemu_options = "") {
        test::expect_read_as_qemu_does(scratch_, path(name), options, qemu_options);
        if (HasFailure()) return;
    }

    static constexpr const char* some_writes =
        "-c 'write -P 1 0 4k' -c 'write -P 2 70000 100000' -c 'write -P 3 1m 1m' -c 'write -P 4 6290944 512'";

    ScratchDir scratch_;
};

TEST_F(Qcow2Reader, reads_every_cluster_size_and_both_versions) {
    for (const char* compat : {"0.10", "1.1"})
        for (const char* cluster : {"512", "4k", "64k", "2M"}) {
            must_run(fmt::format("qemu-img convert -f raw -O qcow2 -o compat={},cluster_size={} {} {}", compat, cluster,
                                 path("disk.raw"), path("a.qcow2")));
            expect_as_qemu("a.qcow2");
            test::expect_clean(path("a.qcow2"));
        }
}

TEST_F(Qcow2Reader, reads_compressed_clusters) {
    for (const char* type : {"zlib", "zstd"})
        for (const char* cluster : {"4k", "64k", "2M"}) {
            must_run(fmt::format("qemu-img convert -c -f raw -O qcow2 -o compression_type={},cluster_size={} {} {}", type,
                                 cluster, path("disk.raw"), path("a.qcow2")));
            expect_as_qemu("a.qcow2");
            test::expect_clean(path("a.qcow2"));
        }
}

TEST_F(Qcow2Reader, reads_extended_l2_entries_over_a_backing_file) {
    create("base.qcow2", "");
    io("base.qcow2", "-c 'write -P 9 0 6M'");
    create("a.qcow2", "-o extended_l2=on,cluster_size=128k -b base.qcow2 -F qcow2");
    io("a.qcow2", std::string(some_writes) + " -c 'write -z 2m 12k' -c 'write -P 7 2101248 4k' -c 'write -z 3m 1m'");
    expect_as_qemu("a.qcow2");
    test::expect_clean(path("a.qcow2"));
}

TEST_F(Qcow2Reader, reads_zero_clusters_over_a_backing_file) {
    create("base.qcow2", "");
    io("base.qcow2", "-c 'write -P 9 0 6M'");
    create("a.qcow2", "-b base.qcow2 -F qcow2");
    io("a.qcow2", "-c 'write -z 1m 1m' -c 'write -P 1 3m 64k' -c 'write -z 3m 64k'");
    expect_as_qemu("a.qcow2");
    test::expect_clean(path("a.qcow2"));
}

TEST_F(Qcow2Reader, reads_a_chain_of_different_sizes_and_formats) {
    must_run("cp " + path("disk.raw") + " " + path("base.raw") + " && truncate -s 3000320 " + path("base.raw"));
    create("middle.qcow2", "-o cluster_size=4k -b base.raw -F raw", "5M");
    io("middle.qcow2", "-c 'write -P 5 1000000 200000' -c 'write -P 6 5000000 1000'");
    create("top.qcow2", "-b middle.qcow2 -F qcow2", "7M");
    io("top.qcow2", "-c 'write -P 8 100000 512' -c 'write -z 2m 128k' -c 'write -P 4 6290944 512'");
    expect_as_qemu("top.qcow2");
    auto top = test::open_good(path("top.qcow2"));
    ASSERT_TRUE(top && top->parent() && top->parent()->parent());
    EXPECT_EQ(top->parent()->parent()->info().format, Format::raw);
}

TEST_F(Qcow2Reader, takes_a_backing_format_from_the_extension_and_refuses_unknown_ones) {
    // A raw disk whose guest wrote a qcow2 header into it must stay raw.
    create("evil.qcow2", "", "1M");
    must_run("cp " + path("evil.qcow2") + " " + path("base.img"));
    create("a.qcow2", "-b base.img -F raw", "1M");
    auto a = test::open_good(path("a.qcow2"));
    ASSERT_TRUE(a);
    std::vector<std::byte> first(4);
    ASSERT_TRUE(test::engine().read(*a, 0, first));
    EXPECT_EQ(load_be<uint32_t>(first.data()), qcow2::magic);
    create("b.qcow2", "-u -b base.img -F qed", "1M");
    test::expect_refused(path("b.qcow2"), ENOTSUP, "backing format: \"qed\"");
}

TEST_F(Qcow2Reader, reads_internal_snapshots_by_name_and_id) {
    create("a.qcow2", "");
    io("a.qcow2", some_writes);
    must_run("qemu-img snapshot -c first " + path("a.qcow2"));
    io("a.qcow2", "-c 'write -P 77 0 2M'");
    must_run("qemu-img snapshot -c second " + path("a.qcow2"));
    must_run("qemu-img resize -q -f qcow2 " + path("a.qcow2") + " 9M");
    io("a.qcow2", "-c 'write -P 78 0 9M'");
    expect_as_qemu("a.qcow2");
    for (const char* name : {"first", "second", "1", "2"}) {
        OpenOptions options;
        options.snapshot = name;
        expect_as_qemu("a.qcow2", options, fmt::format("-l {}", name));
    }
    auto now = test::open_good(path("a.qcow2"));
    ASSERT_TRUE(now);
    EXPECT_EQ(now->info().snapshots, (std::vector<std::string>{"first", "second"}));
    EXPECT_EQ(now->size_bytes(), 9 * MiB);
    OpenOptions options;
    options.snapshot = "first";
    auto first = test::open_good(path("a.qcow2"), options);
    ASSERT_TRUE(first);
    EXPECT_EQ(first->size_bytes(), 6 * MiB);
    EXPECT_NE(first->identity().digest, now->identity().digest);
    options.snapshot = "third";
    test::expect_refused(path("a.qcow2"), ENOENT, "snapshot \"third\"", options);
    test::expect_clean(path("a.qcow2"));
}

TEST_F(Qcow2Reader, reads_an_external_data_file) {
    for (const char* raw : {"off", "on"}) {
        std::filesystem::remove(path("a.data"));
        create("a.qcow2", fmt::format("-o data_file=a.data,data_file_raw={}", raw));
        io("a.qcow2", some_writes);
        expect_as_qemu("a.qcow2");
        test::expect_clean(path("a.qcow2"));
    }
}

TEST_F(Qcow2Reader, reads_preallocated_images) {
    for (const char* mode : {"metadata", "falloc"}) {
        create("a.qcow2", fmt::format("-o preallocation={}", mode));
        io("a.qcow2", some_writes);
        expect_as_qemu("a.qcow2");
        test::expect_clean(path("a.qcow2"));
    }
}

TEST_F(Qcow2Reader, reads_every_refcount_width) {
    for (const char* bits : {"1", "2", "4", "8", "32", "64"}) {
        create("a.qcow2", fmt::format("-o refcount_bits={}", bits));
        io("a.qcow2", some_writes);
        expect_as_qemu("a.qcow2");
        test::expect_clean(path("a.qcow2"));
    }
}

TEST_F(Qcow2Reader, names_bitmaps_and_features_in_its_details) {
    create("a.qcow2", "-o lazy_refcounts=on,cluster_size=4k");
    must_run("qemu-img bitmap --add " + path("a.qcow2") + " daily");
    test::expect_clean(path("a.qcow2"));
    auto image = test::open_good(path("a.qcow2"));
    ASSERT_TRUE(image);
    std::map<std::string, std::string> details;
    for (const auto& detail : image->info().details) details[detail.name] = detail.value;
    EXPECT_EQ(details["bitmap"], "daily");
    EXPECT_EQ(details["lazy refcounts"], "yes");
    EXPECT_EQ(details["cluster size"], "4096");
    EXPECT_EQ(details["version"], "3 (compat 1.1)");
    EXPECT_EQ(details["compression type"], "zlib");
}

TEST_F(Qcow2Reader, maps_an_empty_64_tib_image_in_a_few_pieces) {
    create("a.qcow2", "-o cluster_size=2M", "64T");
    auto image = test::open_good(path("a.qcow2"));
    ASSERT_TRUE(image);
    PieceList pieces;
    ASSERT_TRUE(image->map(0, image->size_bytes(), pieces));
    EXPECT_EQ(pieces.length(), 64 * TiB);
    EXPECT_EQ(pieces.pieces().size(), 1u);
}

TEST_F(Qcow2Reader, joins_neighbouring_clusters_into_one_piece) {
    create("a.qcow2", "-o preallocation=full");
    auto image = test::open_good(path("a.qcow2"));
    ASSERT_TRUE(image);
    PieceList pieces;
    ASSERT_TRUE(image->map(0, image->size_bytes(), pieces));
    EXPECT_EQ(pieces.length(), 6 * MiB);
    EXPECT_LE(pieces.pieces().size(), 2u);
}

}  // namespace
}  // namespace hyper
