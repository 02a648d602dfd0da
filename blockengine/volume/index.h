// SPDX-License-Identifier: Apache-2.0
// A volume's index, by RocksDB, which is included in index.cpp alone. What its keys are is in README.md.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/volume/block_entry.h"

namespace rocksdb {
class DB;
class Env;
class Iterator;
class WriteBatch;
}  // namespace rocksdb

namespace hyper {

struct PunchedRange {
    uint32_t file;
    uint64_t offset, length;
};

// Goes over the blocks of one state of the index, the one at which it was made. Bound to one thread at a time.
class BlockCursor {
  public:
    struct Found {
        uint64_t block;
        uint32_t generation;  // that it is of
        BlockEntry entry;
    };
    ~BlockCursor();

    // The first block of [block, end) that has an entry not newer than `generation`. nullopt where none has. Quick when
    // blocks are asked for in rising order. Errors: EIO; EAGAIN under NoWait where the index is not in memory.
    Result<std::optional<Found>> next(uint64_t block, uint64_t end, uint32_t generation);
    // All entries of a block, newest first, whatever they are of.
    Result<std::vector<Found>> all_of(uint64_t block);
    // Every entry of every block from `block` on, until `visit` answers false.
    Result<void> visit(uint64_t block, const std::function<bool(const Found&)>& visit);

  private:
    friend class Index;
    BlockCursor(std::unique_ptr<rocksdb::Iterator> waits, std::unique_ptr<rocksdb::Iterator> no_wait, std::string path);
    rocksdb::Iterator& iterator();
    Result<void> seek(rocksdb::Iterator& at, uint64_t block, uint32_t generation);
    Result<std::optional<Found>> here(rocksdb::Iterator& at);
    Result<void> check(rocksdb::Iterator& at) const;

    std::unique_ptr<rocksdb::Iterator> waits_, no_wait_;
    std::string path_;
};

// Changes that take effect together. Bound to one thread.
class IndexBatch {
  public:
    IndexBatch();
    ~IndexBatch();
    IndexBatch(IndexBatch&&) noexcept;
    IndexBatch& operator=(IndexBatch&&) noexcept;

    void put_block(uint64_t block, uint32_t generation, const BlockEntry& entry);
    void remove_block(uint64_t block, uint32_t generation);
    void put_runs(uint32_t generation, uint32_t sequence, std::span<const std::byte> runs);
    void remove_runs(uint32_t generation, uint32_t sequence);
    void put_page(unsigned level, uint64_t page, uint32_t generation, std::span<const std::byte> bytes);
    void remove_page(unsigned level, uint64_t page, uint32_t generation);
    void put_generation(uint32_t generation, std::string_view json);
    void remove_generation(uint32_t generation);
    void put_punched(const PunchedRange& range);
    void remove_punched(const PunchedRange& range);
    void set(std::string_view name, std::string_view value);
    void unset(std::string_view name);

    size_t bytes() const;

  private:
    friend class Index;
    std::unique_ptr<rocksdb::WriteBatch> batch_;
};

// Thread-safe.
class Index {
  public:
    // Errors: EBUSY where another process writes it; EIO with RocksDB's words, and the advice to repair, for a damaged one.
    static Result<std::unique_ptr<Index>> create(const std::string& folder);
    static Result<std::unique_ptr<Index>> open_to_write(const std::string& folder);
    // To read what another process writes, as of now and after each refresh(). Writes nothing.
    static Result<std::unique_ptr<Index>> open_to_follow(const std::string& folder);
    ~Index();

    // Sees what the writer wrote since. Nothing to do in the writer itself.
    Result<void> refresh();

    Result<std::unique_ptr<BlockCursor>> cursor() const;
    // The runs of one generation, in the order of their sequence numbers.
    Result<void> visit_runs(uint32_t generation,
                            const std::function<Result<void>(uint32_t sequence, std::span<const std::byte>)>& visit) const;
    // One list of them.
    Result<std::optional<std::string>> runs(uint32_t generation, uint32_t sequence) const;
    // The page as it is since the newest generation that is not newer than `generation`, and which that is.
    struct Page {
        uint32_t generation;
        std::string bytes;
    };
    Result<std::optional<Page>> page(unsigned level, uint64_t page, uint32_t generation) const;
    // Which generations the page is kept of, newest first.
    Result<std::vector<uint32_t>> page_generations(unsigned level, uint64_t page) const;
    // All of them as JSON, ascending.
    Result<std::vector<std::pair<uint32_t, std::string>>> generations() const;
    Result<std::vector<PunchedRange>> punched(size_t count_max) const;
    Result<std::optional<std::string>> get(std::string_view name) const;

    // `durable`: on the disk on return, with all that was written before.
    Result<void> write(IndexBatch& batch, bool durable);

  private:
    Index(std::string folder, std::unique_ptr<rocksdb::Env> env, std::unique_ptr<rocksdb::DB> db, bool follows);
    static Result<std::unique_ptr<Index>> open_writable(const std::string& folder, bool create);

    Result<std::optional<std::string>> value(const std::string& key, std::string_view what) const;

    std::string folder_;
    std::unique_ptr<rocksdb::Env> env_;  // that db_ uses; nullptr for the usual one
    std::unique_ptr<rocksdb::DB> db_;
    bool follows_;
};

}  // namespace hyper
