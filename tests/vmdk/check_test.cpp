// SPDX-License-Identifier: Apache-2.0
// The strict checker: silent on what good writers make, and never silent on a fault.
#include <fmt/format.h>

#include "convert/check.h"
#include "convert/view.h"
#include "convert/vmdk/layout.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

using namespace test;

CheckReport check(std::span<const std::byte> bytes) {
    auto file = File::from_bytes(bytes, "x.vmdk", engine().io());
    auto report = check_image(engine(), FileSource(*file), Format::vmdk);
    EXPECT_TRUE(report) << (report ? "" : report.error().message);
    return report ? *report : CheckReport();
}

void expect_clean(std::span<const std::byte> bytes) {
    auto report = check(bytes);
    for (const Finding& finding : report.findings()) ADD_FAILURE() << finding.field << ": " << finding.message;
}

void expect_no_error(std::span<const std::byte> bytes) {
    auto report = check(bytes);
    for (const Finding& finding : report.findings())
        EXPECT_NE(finding.severity, Finding::Severity::error) << finding.field << ": " << finding.message;
}

// A file that the checker finds nothing in, to put one fault into.
struct Good {
    std::vector<std::byte> bytes;
    explicit Good(std::string_view subformat) {
        ViewInput input;
        input.disk = pattern(70 * MiB, {{0, 131072}, {40 * MiB, 65536}});
        input.file_name = "x.vmdk";
        input.engine = &engine();
        bytes = read_all(**open_view(**find_view_kind(Format::vmdk, subformat), input));
        expect_clean(bytes);
    }
    template <class T>
    T get(uint64_t offset) {
        return load_le<T>(bytes.data() + offset);
    }
    template <class T>
    void poke(uint64_t offset, T value) {
        store_le<T>(bytes.data() + offset, value);
    }
    uint64_t gd() { return get<uint64_t>(56) * 512; }
    uint64_t first_table() { return uint64_t{get<uint32_t>(gd())} * 512; }
    void expect_found(const std::string& part) {
        auto report = check(bytes);
        EXPECT_GT(report.error_count(), 0u) << part;
        bool told = false;
        for (const Finding& finding : report.findings())
            told |= (finding.field + ": " + finding.message).find(part) != std::string::npos;
        EXPECT_TRUE(told) << part << (report.findings().empty() ? "" : "; instead " + report.findings()[0].field + ": " +
                                                                           report.findings()[0].message);
    }
};

TEST(VmdkCheck, finds_no_error_in_images_of_other_writers) {
    ScratchDir dir;
    std::string raw = dir.path("x.raw"), vmdk = dir.path("x.vmdk");
    write_sparse(*pattern(70 * MiB, random_runs(70 * MiB, 4096, 0.3, 4)), raw);
    for (const char* subformat : {"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "streamOptimized"}) {
        SCOPED_TRACE(subformat);
        must_run(fmt::format("qemu-img convert -f raw -O vmdk -o subformat={} {} {}", subformat, raw, vmdk));
        expect_no_error(read_file(vmdk));
    }
    expect_no_error(read_file(dir.path("x-s001.vmdk")));
    must_run(fmt::format("/usr/bin/python3 -m VMDKstream {} {}", raw, vmdk));
    expect_no_error(read_file(vmdk));
}

TEST(VmdkCheck, tells_what_is_allocated) {
    auto report = check(Good("streamOptimized").bytes);
    EXPECT_EQ(report.virtual_bytes, 70 * MiB);
    EXPECT_EQ(report.allocated_bytes, 3 * 65536u);
}

TEST(VmdkCheck, finds_a_stream_cut_by_one_to_three_sectors) {
    for (size_t sectors : {1, 2, 3}) {
        Good good("streamOptimized");
        good.bytes.resize(good.bytes.size() - sectors * 512);
        EXPECT_GT(check(good.bytes).error_count(), 0u) << sectors;
    }
}

TEST(VmdkCheck, finds_faults_of_a_stream) {
    constexpr uint64_t grains = 128 * 512;
    auto expect = [](uint64_t offset, auto value, const std::string& part) {
        Good good("streamOptimized");
        good.poke(offset, value);
        good.expect_found(part);
    };
    expect(grains, uint64_t{256}, "lba 128 does not rise");
    expect(grains + 66048, uint64_t{1}, "lba 1 is not that of a grain");
    expect(grains + 66048, uint64_t{384}, "the grain is at");
    expect(grains + 8, uint32_t{131073}, "a grain of 131073 bytes");
    expect(grains + 12, uint8_t{0x79}, "no zlib stream");
    expect(grains + 66047, uint8_t{1}, "padding behind the grain");
    expect(grains + 2 * 66048 + 512, uint32_t{129}, "grain table 0, entry 0");
    expect(grains + 2 * 66048 + 100, uint8_t{1}, "marker's padding");
    expect(4, uint32_t{1}, "version");
    Good good("streamOptimized");
    uint64_t size = good.bytes.size();
    expect(size - 1024 + 12, uint64_t{7}, "the footer differs");
    expect(size - 1024 + 56, uint64_t{7}, "gdOffset of the footer is 7");
    expect(size - 1536 - 512, uint32_t{7}, "grain directory entry 0");
    expect(size - 512 + 100, uint8_t{7}, "marker's padding");
    good.bytes.resize(size + 512);
    good.expect_found("behind the end-of-stream");
}

TEST(VmdkCheck, finds_faults_of_a_sparse_file) {
    auto expect = [](auto fault, const std::string& part) {
        Good good("monolithicSparse");
        fault(good);
        good.expect_found(part);
    };
    auto entry = [](uint64_t index, uint32_t value) {
        return [=](Good& good) {
            good.poke(good.first_table() + index * 4, value);
            uint64_t rgd = good.get<uint64_t>(48) * 512;
            good.poke(uint64_t{good.get<uint32_t>(rgd)} * 512 + index * 4, value);
        };
    };
    expect(entry(0, 0x7fffffff), "past the end");
    expect(entry(0, 1), "within the metadata");
    expect(entry(1, 128), "belongs to another grain");
    expect(entry(0, 129), "not aligned");
    expect([](Good& good) { good.poke(good.first_table(), uint32_t{0}); }, "two copies differ");
    expect([](Good& good) { good.poke(good.gd(), uint32_t{0}); }, "two directories differ");
    expect([](Good& good) { good.poke(good.gd(), uint32_t{1}); }, "not a place for a table");
    expect([](Good& good) { good.poke(good.gd(), good.get<uint32_t>(good.gd() + 4)); }, "overlaps another");
    expect([](Good& good) { good.poke(56, uint64_t{1} << 50); }, "gdOffset");
    expect([](Good& good) { good.poke(48, uint64_t{0}); }, "rgdOffset");
    expect([](Good& good) { good.poke(12, uint64_t{12345}); }, "capacity is 12345");
    expect([](Good& good) { good.poke(20, uint64_t{0}); }, "grainSize");
    expect([](Good& good) { good.poke(73, uint8_t{13}); }, "newline test");
    expect([](Good& good) { good.poke(77, uint16_t{1}); }, "compressAlgorithm");
    expect([](Good& good) { good.poke(512, uint8_t{'x'}); }, "not a known line");
}

TEST(VmdkCheck, finds_a_wrong_lba_in_qemus_stream) {
    ScratchDir dir;
    std::string raw = dir.path("x.raw"), vmdk = dir.path("x.vmdk");
    write_sparse(*pattern(MiB, {{0, MiB}}), raw);
    must_run(fmt::format("qemu-img convert -f raw -O vmdk -o subformat=streamOptimized {} {}", raw, vmdk));
    Good good("streamOptimized");
    good.bytes = read_file(vmdk);
    good.poke(uint64_t{good.get<uint32_t>(good.first_table())} * 512, uint64_t{128});
    good.expect_found("its marker says lba 128 instead of 0");
}

TEST(VmdkCheck, warns_of_text_left_behind_a_shorter_descriptor) {
    using namespace std::literals;
    auto report = check(bytes_of_text("version=1\nCID=1\nparentCID=ffffffff\ncreateType=\"vmfs\"\nRW 1 ZERO\n\0x"sv));
    EXPECT_EQ(report.error_count(), 0u);
    EXPECT_EQ(report.warning_count(), 1u);
}

TEST(VmdkCheck, takes_content_ids_without_leading_zeros_as_qemu_writes_them) {
    expect_clean(bytes_of_text("version=1\nCID=fed054a\nparentCID=ffffffff\ncreateType=\"vmfs\"\nRW 1 ZERO\n"));
}

TEST(VmdkCheck, finds_faults_of_a_descriptor) {
    auto expect = [](const std::string& line, const std::string& part) {
        std::string text = "version=1\nCID=12345678\nparentCID=ffffffff\ncreateType=\"vmfs\"\nRW 1 ZERO\n" + line + "\n";
        auto report = check(bytes_of_text(text));
        bool told = line.empty() && report.findings().empty();
        for (const Finding& finding : report.findings()) told |= (finding.field + finding.message).find(part) != std::string::npos;
        EXPECT_TRUE(told) << line;
    };
    expect("", "");
    expect("nonsense", "not a known line");
    expect("CID=12345678", "twice");
    expect("RW 1 FLAT \"/etc/shadow\" 0", "not an extent line");
    expect("RW 1 VMFSRDM \"a\"", "not an extent line");
    expect("RW x ZERO", "not an extent line");
}

}  // namespace
}  // namespace hyper
