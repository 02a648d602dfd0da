// SPDX-License-Identifier: Apache-2.0
// One VHDX image, opened, mapped, read and checked. Nothing may crash, hang or take much memory.
//
// A VHDX file has at least 4 MiB, nearly all zeros, so an input is not the file but what is changed in a valid one
// (with data, a log entry, and a partially present block): a byte of flags, then patches
// {file offset u32, length u8, that many bytes}. The checksums are made good again unless a flag says otherwise.
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz_image.h"
#include "tests/vhdx/builder.h"

namespace {

using namespace hyper;
using namespace hyper::test;

constexpr uint8_t flag_keep_checksums = 1, flag_dirty = 2, flag_large_sectors = 4, flag_differencing = 8;

VhdxBuilder base_image(uint8_t flags) {
    VhdxSpec spec{.logical_sector_bytes = (flags & flag_large_sectors) != 0 ? 4096u : 512u};
    if ((flags & flag_differencing) != 0)
        spec.locator = {{u"parent_linkage", VhdxBuilder::data_write_text}, {u"relative_path", u"p.vhdx"}};
    VhdxBuilder builder(spec);
    builder.set_block(0, builder.append(MiB, 1));
    builder.set_block(1, builder.append(MiB, 2, (flags & flag_differencing) != 0 ? block_partially_present : block_fully_present));
    uint64_t next = builder.add_log_entry(0, 3, 0, {{VhdxBuilder::data_offset, Bytes(4096, std::byte{3})}});
    builder.add_log_entry(next, 4, 0, {{VhdxBuilder::data_offset + 8192, {}, 8192}});
    if ((flags & flag_dirty) != 0) builder.mark_dirty();
    return builder;
}

// The log's first entries, as far as their lengths make sense.
void seal_log(Bytes& bytes) {
    for (uint64_t at = VhdxBuilder::log_offset, end = at + MiB; at < end;) {
        uint64_t length = load_le<uint32_t>(bytes.data() + at + 8);
        if (length < sizeof(LogEntryHeader) || length > end - at) return;
        store_le<uint32_t>(bytes.data() + at + 4, 0);
        store_le<uint32_t>(bytes.data() + at + 4, crc32c({bytes.data() + at, length}));
        at += length;
    }
}

// A file in memory whose pages are those of `bytes` that are not zero.
std::shared_ptr<const File> sparse_file(std::span<const std::byte> bytes) {
    int fd = ::memfd_create("fuzz", MFD_CLOEXEC);
    if (fd < 0 || ::ftruncate(fd, static_cast<off_t>(bytes.size())) != 0) std::abort();
    for (size_t at = 0; at < bytes.size(); at += 4096) {
        auto page = bytes.subspan(at, std::min<size_t>(4096, bytes.size() - at));
        if (!all_zero(page) && ::pwrite(fd, page.data(), page.size(), static_cast<off_t>(at)) < 0) std::abort();
    }
    auto file = File::adopt(fd, "/nonexistent/fuzz.vhdx", fuzz_engine().io());
    if (!file) std::abort();
    return *file;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    uint8_t flags = data[0];
    Bytes bytes = base_image(flags).bytes;
    std::span<const std::byte> patches(reinterpret_cast<const std::byte*>(data + 1), size - 1);
    while (patches.size() > 5) {
        uint64_t offset = load_le<uint32_t>(patches.data()) % bytes.size();
        size_t length = std::min<size_t>({static_cast<uint8_t>(patches[4]), patches.size() - 5, bytes.size() - offset});
        std::memcpy(bytes.data() + offset, patches.data() + 5, length);
        patches = patches.subspan(5 + length);
    }
    if ((flags & flag_keep_checksums) == 0) {
        seal_log(bytes);
        VhdxBuilder::seal(bytes);
    }
    return fuzz_file(Format::vhdx, sparse_file(bytes));
}
