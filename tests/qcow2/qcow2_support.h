// SPDX-License-Identifier: Apache-2.0
// What the qcow2 tests share: images by qemu-img, faults poked into files, and comparisons with qemu.
#pragma once

#include <fstream>

#include "blockengine/base/bytes.h"
#include "convert/check.h"
#include "convert/image.h"
#include "convert/qcow2/format.h"
#include "convert/view.h"
#include "tests/support/support.h"

namespace hyper::test {

// Opens an image, expecting that it works. nullptr after a failure.
inline std::shared_ptr<const Image> open_good(const std::string& path, const OpenOptions& options = {}) {
    auto image = open_image(engine(), path, options);
    EXPECT_TRUE(image) << (image ? "" : image.error().message);
    return image ? *image : nullptr;
}

// Opens an image, expecting that it fails with `code` and a message that holds `words`.
inline void expect_refused(const std::string& path, int code, const std::string& words,
                           const OpenOptions& options = {}) {
    auto image = open_image(engine(), path, options);
    ASSERT_FALSE(image) << path << " was opened, \"" << words << "\" expected";
    EXPECT_EQ(image.error().code, code) << image.error().message;
    EXPECT_NE(image.error().message.find(words), std::string::npos) << image.error().message;
    EXPECT_NE(image.error().message.find(path), std::string::npos) << image.error().message;
}

// Reads the first bytes of the disk, expecting EIO and a message that holds `words`.
inline void expect_unreadable(const std::string& path, const std::string& words, uint64_t offset = 0) {
    auto image = open_good(path);
    ASSERT_TRUE(image);
    std::vector<std::byte> buffer(512);
    auto result = engine().read(*image, offset, buffer);
    ASSERT_FALSE(result) << path << " was read, \"" << words << "\" expected";
    EXPECT_EQ(result.error().code, EIO) << result.error().message;
    EXPECT_NE(result.error().message.find(words), std::string::npos) << result.error().message;
}

// What our reader gives is what qemu-img reads.
inline void expect_read_as_qemu_does(const ScratchDir& scratch, const std::string& path,
                                     const OpenOptions& options = {}, const std::string& qemu_options = "") {
    SCOPED_TRACE(path);
    std::string raw = scratch.path("as-qemu-reads-it.raw");
    must_run("cd " + scratch.dir().string() + " && qemu-img convert " + qemu_options + " -O raw " + path + " " + raw);
    auto image = open_good(path, options);
    ASSERT_TRUE(image);
    auto expected = File::open(raw, engine().io());
    ASSERT_TRUE(expected);
    // qemu-img reads a snapshot with the present size.
    if (options.snapshot.empty()) {
        EXPECT_EQ((*expected)->size_bytes(), image->size_bytes());
    }
    expect_same_content(FileSource(*expected), *image);
    expect_consistent_reads(*image, 1);
}

inline CheckReport check_file(const std::string& path) {
    auto file = File::open(path, engine().io());
    EXPECT_TRUE(file);
    auto report = check_image(engine(), FileSource(*file), Format::qcow2);
    EXPECT_TRUE(report) << (report ? "" : report.error().message);
    return report ? *report : CheckReport{};
}

inline std::string text_of(const CheckReport& report) {
    std::string text;
    for (const Finding& finding : report.findings()) text += finding.field + ": " + finding.message + "\n";
    return text;
}

inline void expect_clean(const std::string& path) {
    CheckReport report = check_file(path);
    EXPECT_EQ(report.error_count() + report.warning_count(), 0u) << path << "\n" << text_of(report);
}

inline void expect_found(const std::string& path, const std::string& words) {
    CheckReport report = check_file(path);
    EXPECT_GT(report.error_count() + report.warning_count(), 0u) << words;
    EXPECT_NE(text_of(report).find(words), std::string::npos) << words << " expected in\n" << text_of(report);
}

// Writes a big-endian number into a file.
template <class T>
void poke(const std::string& path, uint64_t offset, T value) {
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(static_cast<std::streamoff>(offset));
    for (size_t i = sizeof value; i-- > 0;) file.put(static_cast<char>(value >> (i * 8)));
    ASSERT_TRUE(file.flush());
}

template <class T>
T peek(const std::string& path, uint64_t offset) {
    std::ifstream file(path, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(offset));
    uint64_t value = 0;
    for (size_t i = 0; i < sizeof(T); ++i) value = value << 8 | static_cast<uint64_t>(file.get() & 0xff);
    EXPECT_TRUE(file) << path << ": no number at offset " << offset;
    return static_cast<T>(value);
}

// Fields of the header by their offset, see convert/qcow2/format.h.
namespace field {
inline constexpr uint64_t cluster_bits = 20, size = 24, crypt_method = 32, l1_size = 36, l1_table_offset = 40,
                          refcount_table_offset = 48, refcount_table_clusters = 56, nb_snapshots = 60,
                          snapshots_offset = 64, incompatible_features = 72, refcount_order = 96, header_length = 100,
                          compression_type = 104;
}

}  // namespace hyper::test
