// SPDX-License-Identifier: Apache-2.0
// Reading a hosted sparse extent: grain directory, grain tables, grains; plain or compressed.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "blockengine/engine.h"
#include "blockengine/source.h"
#include "convert/vmdk/layout.h"

namespace hyper::vmdk {

// Immutable; thread-safe. Holds its grain directory in memory (at most gd_bytes_max); grain tables are read when
// asked for and kept in the engine's cache.
class SparseExtent {
  public:
    // Errors: EINVAL, ENOTSUP, EFBIG; names path, field and value.
    static Result<std::unique_ptr<const SparseExtent>> open(Engine& engine, std::shared_ptr<const File> file);

    const SparseHeader& header() const { return header_; }
    uint64_t size_bytes() const { return header_.capacity * sector_bytes; }
    uint64_t gd_bytes() const { return gd_.size() * sizeof gd_[0]; }
    bool compressed() const { return (header_.flags & flag_compressed) != 0; }
    // The embedded descriptor's text; empty where there is none.
    Result<std::string> read_descriptor() const;

    // As Source::map(), within the extent. Where the extent has no grain, `beneath` is mapped at
    // `beneath_offset` plus the offset here; nullptr for zeros.
    Result<void> map(uint64_t offset, uint64_t length, const Source* beneath, uint64_t beneath_offset,
                     PieceList& out) const;

  private:
    SparseExtent(Engine& engine, std::shared_ptr<const File> file) : engine_(engine), file_(std::move(file)) {}
    Result<void> read_header();
    Result<void> check_header() const;
    Result<void> read_footer();
    Result<void> read_directory();

    Result<void> map_in_table(uint64_t offset, uint64_t length, const Source* beneath, uint64_t beneath_offset,
                              PieceList& out) const;
    Result<void> map_grain(uint64_t grain, uint64_t skip, uint64_t length, uint32_t sector, PieceList& out) const;
    Result<void> map_compressed(uint64_t grain, uint64_t skip, uint64_t length, uint64_t at, PieceList& out) const;

    Engine& engine_;
    std::shared_ptr<const File> file_;
    SparseHeader header_;
    uint64_t grain_bytes_ = 0;
    uint64_t metadata_end_ = 0;  // header and descriptor, in bytes: no grain lies below
    std::vector<uint32_t> gd_;
};

}  // namespace hyper::vmdk
