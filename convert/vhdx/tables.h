// SPDX-License-Identifier: Apache-2.0
// What the reader learns from a VHDX file before its first block: headers, log, regions, metadata.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/engine.h"
#include "convert/vhdx/log.h"
#include "convert/vhdx/structs.h"

namespace hyper::vhdx {

// A VHDX file as it reads once its log is replayed; the file itself is never written. Thread-safe.
class ReplayedFile : public Source, public Producer, public std::enable_shared_from_this<ReplayedFile> {
  public:
    ReplayedFile(std::shared_ptr<const File> file, LogOverlay overlay)
        : file_(std::move(file)), overlay_(std::move(overlay)) {}
    uint64_t size_bytes() const override { return std::max(file_->size_bytes(), overlay_.file_bytes()); }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override;
    // Offsets are those of the overlay's data.
    Result<void> produce(uint64_t offset, std::span<std::byte> out) const override;
    const std::shared_ptr<const File>& file() const { return file_; }
    uint64_t memory_bytes() const { return overlay_.data().size(); }

  private:
    std::shared_ptr<const File> file_;
    LogOverlay overlay_;
};

struct Region {
    uint64_t offset = 0, length = 0;
    std::string name;  // "BAT", or a GUID
};

struct Tables {
    std::shared_ptr<const ReplayedFile> file;
    Guid data_write_guid;
    size_t replayed_entries = 0;
    std::vector<Region> regions;  // with the header section and the log; they do not overlap
    Region bat;
    uint32_t block_bytes = 0;
    bool leave_blocks_allocated = false, has_parent = false;
    uint64_t virtual_bytes = 0;
    uint32_t logical_sector_bytes = 0, physical_sector_bytes = 0;
    Bytes parent_locator;  // the item's bytes, where the disk has a parent
};

// Errors: EINVAL for damage, ENOTSUP for an unknown region or metadata item that is required; messages name the field.
Result<Tables> read_tables(Engine& engine, std::shared_ptr<const File> file);

// The keys and values of a parent locator, as UTF-8. `name` is for messages.
struct ParentLocator {
    std::optional<std::string> value(std::string_view key) const;
    std::vector<std::pair<std::string, std::string>> pairs;
};
Result<ParentLocator> parse_parent_locator(const std::string& name, std::span<const std::byte> item);

}  // namespace hyper::vhdx
