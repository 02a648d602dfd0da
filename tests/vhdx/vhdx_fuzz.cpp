// SPDX-License-Identifier: Apache-2.0
// One VHDX image, opened, mapped, read and checked. Nothing may crash, hang or take much memory.
//
// A VHDX file has at least 4 MiB, nearly all zeros, so an input is not the file but what is changed in a valid one
// (with data, a log entry, and a partially present block): a byte of flags, then patches
// {file offset u32, length u8, that many bytes}. The checksums are made good again unless a flag says otherwise.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <map>
#include <set>

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

// A valid image in memory, which every input with the same flags changes and puts back: a shared mapping of the
// file that is read, so that neither 6 MiB are copied nor all checksums made for each input.
class PatchedImage {
  public:
    explicit PatchedImage(Bytes original) : original_(std::move(original)) {
        fd_ = ::memfd_create("fuzz", MFD_CLOEXEC);
        if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(original_.size())) != 0) std::abort();
        void* mapped = ::mmap(nullptr, original_.size(), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
        if (mapped == MAP_FAILED) std::abort();
        bytes_ = {static_cast<std::byte*>(mapped), original_.size()};
        for (uint64_t at = 0; at < original_.size(); at += page_bytes)
            if (!all_zero(original_page(at))) std::ranges::copy(original_page(at), bytes_.begin() + static_cast<ptrdiff_t>(at));
    }

    void patch(uint64_t offset, std::span<const std::byte> value) {
        std::ranges::copy(value, touch(offset, value.size()).begin());
    }
    // Makes those checksums good that a patch may have spoilt.
    void seal() {
        for (uint64_t at : header_offsets) seal(at, sizeof(Header));
        for (uint64_t at : region_table_offsets) seal(at, region_table_bytes);
        if (touched(VhdxBuilder::log_offset, MiB)) seal_log();
    }
    // Every page as it was: holes are holes again, so that an input does not depend on those before it.
    void restore() {
        for (uint64_t at : pages_)
            if (!all_zero(original_page(at)))
                std::ranges::copy(original_page(at), bytes_.begin() + static_cast<ptrdiff_t>(at));
            else if (::fallocate(fd_, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(at), page_bytes) != 0)
                std::abort();
        pages_.clear();
    }
    std::shared_ptr<const File> file() const {
        auto file = File::adopt(::dup(fd_), "/nonexistent/fuzz.vhdx", fuzz_io());
        if (!file) std::abort();
        return *file;
    }
    uint64_t size_bytes() const { return original_.size(); }

  private:
    static constexpr uint64_t page_bytes = 4096;

    std::span<const std::byte> original_page(uint64_t at) const {
        return std::span(original_).subspan(at, std::min<size_t>(page_bytes, original_.size() - at));
    }
    std::span<std::byte> touch(uint64_t offset, size_t length) {
        for (uint64_t at = offset / page_bytes * page_bytes; at < offset + length; at += page_bytes) pages_.insert(at);
        return bytes_.subspan(offset, length);
    }
    bool touched(uint64_t offset, uint64_t length) const {
        auto first = pages_.lower_bound(offset / page_bytes * page_bytes);
        return first != pages_.end() && *first < offset + length;
    }
    void seal(uint64_t offset, size_t length) {
        if (touched(offset, length)) VhdxBuilder::seal_part(touch(offset, length));
    }
    // The log's first entries, as far as their lengths make sense.
    void seal_log() {
        for (uint64_t at = VhdxBuilder::log_offset, end = at + MiB; at < end;) {
            uint64_t length = load_le<uint32_t>(touch(at, sizeof(LogEntryHeader)).data() + 8);
            if (length < sizeof(LogEntryHeader) || length > end - at) return;
            VhdxBuilder::seal_part(touch(at, length));
            at += length;
        }
    }

    Bytes original_;
    int fd_;
    std::span<std::byte> bytes_;
    std::set<uint64_t> pages_;  // where they differ from the original, or may
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    if (size == 0) return 0;
    uint8_t flags = data[0];
    static std::map<uint8_t, PatchedImage> images;
    uint8_t kind = flags & (flag_dirty | flag_large_sectors | flag_differencing);
    auto found = images.find(kind);
    if (found == images.end()) found = images.try_emplace(kind, std::move(base_image(kind).bytes)).first;
    PatchedImage& image = found->second;

    std::span<const std::byte> patches(reinterpret_cast<const std::byte*>(data + 1), size - 1);
    while (patches.size() > 5) {
        uint64_t offset = load_le<uint32_t>(patches.data()) % image.size_bytes();
        size_t length = std::min<size_t>({static_cast<uint8_t>(patches[4]), patches.size() - 5, image.size_bytes() - offset});
        image.patch(offset, patches.subspan(5, length));
        patches = patches.subspan(5 + length);
    }
    if ((flags & flag_keep_checksums) == 0) image.seal();
    fuzz_file(Format::vhdx, image.file());
    image.restore();
    return 0;
}
