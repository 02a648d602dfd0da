// SPDX-License-Identifier: Apache-2.0
// The engine moves bytes: it asks a source where they are, and reads all pieces of a request as one batch
// straight into the caller's buffer. Nothing else in the project reads disk data.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "blockengine/base/result.h"
#include "blockengine/block_cache.h"
#include "blockengine/io.h"
#include "blockengine/source.h"

namespace hyper {

// Thread-safe. Made once a process (after a fork, if there is one) and outlives every source.
class Engine {
  public:
    static constexpr size_t cache_bytes_default = 64 << 20;

    explicit Engine(std::unique_ptr<Io> io = make_system_io(), size_t cache_bytes = cache_bytes_default)
        : io_(std::move(io)), cache_(cache_bytes) {}

    // Fills `buffer` with the bytes at `offset`; the range must lie within the source (EINVAL otherwise).
    // On error the buffer's content is undefined. Memory beyond the buffer is bounded by batch_bytes_max and the cache.
    Result<void> read(const Source& source, uint64_t offset, std::span<std::byte> buffer);

    Io& io() { return *io_; }
    BlockCache& cache() { return cache_; }

  private:
    // What one request holds in memory at a time: compressed bytes, and units of which it wants a part.
    static constexpr size_t batch_bytes_max = 8 << 20;

    Result<void> execute(std::span<const Piece> pieces, std::span<std::byte> buffer);
    Result<void> unpack_batch(std::span<const Piece* const> pieces, std::span<std::byte* const> targets);

    std::unique_ptr<Io> io_;
    BlockCache cache_;
};

}  // namespace hyper
