// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/index.h"

#include <rocksdb/cache.h>
#include <rocksdb/db.h>
#include <rocksdb/env.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <cerrno>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "blockengine/io.h"
#include "blockengine/volume/index_files.h"

namespace hyper {

namespace {

// All volumes of a process share it.
constexpr size_t cache_bytes = 32 << 20;
constexpr size_t memtable_bytes = 8 << 20;

class NoLogger : public rocksdb::Logger {
  public:
    using rocksdb::Logger::Logv;
    void Logv(const char*, va_list) override {}
};

rocksdb::Options options_of(bool follows) {
    static const auto cache = rocksdb::NewLRUCache(cache_bytes);
    rocksdb::BlockBasedTableOptions table;
    table.block_cache = cache;
    table.cache_index_and_filter_blocks = true;
    table.format_version = 5;
    rocksdb::Options options;
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    options.write_buffer_size = memtable_bytes;
    options.max_write_buffer_number = 3;
    options.compression = rocksdb::kNoCompression;
    options.paranoid_checks = true;
    // A follower holds the files that the writer's compactions remove.
    options.max_open_files = -1;
    // They are few and opened in no time: threads would take longer.
    options.max_file_opening_threads = 1;
    options.skip_stats_update_on_db_open = true;
    options.max_background_jobs = 2;
    options.max_total_wal_size = 64 << 20;
    options.stats_dump_period_sec = 0;
    options.stats_persist_period_sec = 0;
    // Its messages come back as the status of what failed; a follower may not write a log of its own.
    options.info_log = std::make_shared<NoLogger>();
    if (follows) options.avoid_flush_during_recovery = true;
    return options;
}

template <class T>
void append_be(std::string& key, T value) {
    std::byte bytes[sizeof(T)];
    store_be<T>(bytes, value);
    key.append(reinterpret_cast<const char*>(bytes), sizeof bytes);
}

template <class T>
T be_at(rocksdb::Slice key, size_t offset) {
    return load_be<T>(reinterpret_cast<const std::byte*>(key.data()) + offset);
}

std::span<const std::byte> bytes_of_slice(rocksdb::Slice slice) {
    return bytes_of_text({slice.data(), slice.size()});
}

rocksdb::Slice slice_of(std::span<const std::byte> bytes) {
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}
rocksdb::Slice slice_of(std::string_view text) { return {text.data(), text.size()}; }

constexpr size_t block_key_bytes = 1 + 8 + 4, page_key_bytes = 1 + 1 + 8 + 4, runs_key_bytes = 1 + 4 + 4,
                 generation_key_bytes = 1 + 4, punched_key_bytes = 1 + 4 + 8;

std::string block_key(uint64_t block, uint32_t generation) {
    std::string key = "b";
    append_be(key, block);
    append_be(key, ~generation);
    return key;
}

std::string page_key(unsigned level, uint64_t page, uint32_t generation) {
    std::string key = "t";
    key.push_back(static_cast<char>(level));
    append_be(key, page);
    append_be(key, ~generation);
    return key;
}

std::string runs_key(uint32_t generation, uint32_t sequence) {
    std::string key = "c";
    append_be(key, generation);
    append_be(key, sequence);
    return key;
}

std::string generation_key(uint32_t generation) {
    std::string key = "g";
    append_be(key, generation);
    return key;
}

std::string punched_key(const PunchedRange& range) {
    std::string key = "p";
    append_be(key, range.file);
    append_be(key, range.offset);
    return key;
}

std::string name_key(std::string_view name) { return "m" + std::string(name); }

// A block's value: the codec, and for what is stored its place and hash.
constexpr size_t stored_value_bytes = 1 + 4 + 4 + 8 + 16;

std::string value_of(const BlockEntry& entry) {
    std::string value(1, static_cast<char>(entry.codec));
    if (entry.codec == BlockCodec::zeros || entry.codec == BlockCodec::lost) return value;
    append_be(value, entry.place.file);
    append_be(value, entry.place.stored_bytes);
    append_be(value, entry.place.offset);
    value.append(reinterpret_cast<const char*>(entry.hash.data()), entry.hash.size());
    return value;
}

std::optional<BlockEntry> entry_of(rocksdb::Slice value) {
    if (value.empty() || static_cast<uint8_t>(value[0]) > static_cast<uint8_t>(BlockCodec::lost)) return std::nullopt;
    BlockEntry entry;
    entry.codec = static_cast<BlockCodec>(value[0]);
    if (entry.codec == BlockCodec::zeros || entry.codec == BlockCodec::lost)
        return value.size() == 1 ? std::optional(entry) : std::nullopt;
    if (value.size() != stored_value_bytes) return std::nullopt;
    entry.place.file = be_at<uint32_t>(value, 1);
    entry.place.stored_bytes = be_at<uint32_t>(value, 5);
    entry.place.offset = be_at<uint64_t>(value, 9);
    std::memcpy(entry.hash.data(), value.data() + 17, entry.hash.size());
    return entry;
}

tl::unexpected<Error> failed(const std::string& folder, std::string_view what, const rocksdb::Status& status) {
    if (status.IsIncomplete()) return fail(EAGAIN, "{}: {}: not in memory", folder, what);
    if (status.IsIOError() && status.ToString().find("lock") != std::string::npos)
        return fail(EBUSY, "{}: {}: {}", folder, what, status.ToString());
    if (status.IsNoSpace() || status.subcode() == rocksdb::Status::kNoSpace)
        return fail(ENOSPC, "{}: {}: {}", folder, what, status.ToString());
    return fail(EIO, "{}: {}: {} (hyperctl volume repair rebuilds an index)", folder, what, status.ToString());
}

tl::unexpected<Error> damaged(const std::string& folder, std::string_view what) {
    return fail(EIO, "{}: {} is not what was written there (hyperctl volume repair rebuilds an index)", folder, what);
}

// While one lives it is nobody else's to read the key after `bound`.
struct Bounded {
    std::string bound;
    rocksdb::Slice slice;
    rocksdb::ReadOptions options;
    explicit Bounded(std::string upper) : bound(std::move(upper)), slice(bound) { options.iterate_upper_bound = &slice; }
};

}  // namespace

BlockCursor::BlockCursor(std::unique_ptr<rocksdb::Iterator> waits, std::unique_ptr<rocksdb::Iterator> no_wait, std::string path)
    : waits_(std::move(waits)), no_wait_(std::move(no_wait)), path_(std::move(path)) {}

BlockCursor::~BlockCursor() = default;

rocksdb::Iterator& BlockCursor::iterator() { return no_wait_asked() ? *no_wait_ : *waits_; }

Result<void> BlockCursor::check(rocksdb::Iterator& at) const {
    if (!at.status().ok()) return failed(path_, "read the index", at.status());
    return {};
}

Result<void> BlockCursor::seek(rocksdb::Iterator& at, uint64_t block, uint32_t generation) {
    at.Seek(block_key(block, generation));
    return check(at);
}

// nullopt behind the last block.
Result<std::optional<BlockCursor::Found>> BlockCursor::here(rocksdb::Iterator& at) {
    if (!at.Valid() || at.key().empty() || at.key()[0] != 'b') return std::nullopt;
    auto entry = entry_of(at.value());
    if (at.key().size() != block_key_bytes || !entry) return damaged(path_, "a block's entry");
    return Found{be_at<uint64_t>(at.key(), 1), ~be_at<uint32_t>(at.key(), 9), *entry};
}

Result<std::optional<BlockCursor::Found>> BlockCursor::next(uint64_t block, uint64_t end, uint32_t generation) {
    // How far the next block's entry may be for stepping there to be cheaper than seeking.
    constexpr int steps_max = 4;
    rocksdb::Iterator& at = iterator();
    bool placed = false;
    if (at.Valid() && at.key().size() == block_key_bytes && at.key()[0] == 'b' && be_at<uint64_t>(at.key(), 1) + 1 == block) {
        for (int steps = 0; steps < steps_max && !placed; ++steps) {
            at.Next();
            TRY(check(at));
            if (!at.Valid() || at.key()[0] != 'b') return std::nullopt;
            placed = be_at<uint64_t>(at.key(), 1) >= block;
        }
    }
    if (!placed) TRY(seek(at, block, generation));
    for (;;) {
        auto found = TRY(here(at));
        if (!found || found->block >= end) return std::nullopt;
        if (found->generation <= generation) return found;
        // Newer than what is asked for: perhaps there is an older one.
        TRY(seek(at, found->block, generation));
    }
}

Result<std::vector<BlockCursor::Found>> BlockCursor::all_of(uint64_t block) {
    std::vector<Found> all;
    TRY(visit(block, [&](const Found& found) {
        if (found.block == block) all.push_back(found);
        return found.block == block;
    }));
    return all;
}

Result<void> BlockCursor::visit(uint64_t block, const std::function<bool(const Found&)>& visit) {
    rocksdb::Iterator& at = iterator();
    TRY(seek(at, block, ~uint32_t{0}));
    for (;;) {
        auto found = TRY(here(at));
        if (!found || !visit(*found)) return {};
        at.Next();
        TRY(check(at));
    }
}

IndexBatch::IndexBatch() : batch_(std::make_unique<rocksdb::WriteBatch>()) {}
IndexBatch::~IndexBatch() = default;
IndexBatch::IndexBatch(IndexBatch&&) noexcept = default;
IndexBatch& IndexBatch::operator=(IndexBatch&&) noexcept = default;

void IndexBatch::put_block(uint64_t block, uint32_t generation, const BlockEntry& entry) {
    batch_->Put(block_key(block, generation), value_of(entry));
}
void IndexBatch::remove_block(uint64_t block, uint32_t generation) { batch_->Delete(block_key(block, generation)); }
void IndexBatch::put_runs(uint32_t generation, uint32_t sequence, std::span<const std::byte> runs) {
    batch_->Put(runs_key(generation, sequence), slice_of(runs));
}
void IndexBatch::remove_runs(uint32_t generation, uint32_t sequence) { batch_->Delete(runs_key(generation, sequence)); }
void IndexBatch::put_page(unsigned level, uint64_t page, uint32_t generation, std::span<const std::byte> bytes) {
    batch_->Put(page_key(level, page, generation), slice_of(bytes));
}
void IndexBatch::remove_page(unsigned level, uint64_t page, uint32_t generation) {
    batch_->Delete(page_key(level, page, generation));
}
void IndexBatch::put_generation(uint32_t generation, std::string_view json) {
    batch_->Put(generation_key(generation), slice_of(json));
}
void IndexBatch::remove_generation(uint32_t generation) { batch_->Delete(generation_key(generation)); }
void IndexBatch::put_punched(const PunchedRange& range) {
    std::string length;
    append_be(length, range.length);
    batch_->Put(punched_key(range), length);
}
void IndexBatch::remove_punched(const PunchedRange& range) { batch_->Delete(punched_key(range)); }
void IndexBatch::set(std::string_view name, std::string_view value) { batch_->Put(name_key(name), slice_of(value)); }
void IndexBatch::unset(std::string_view name) { batch_->Delete(name_key(name)); }
size_t IndexBatch::bytes() const { return batch_->GetDataSize(); }

Index::Index(std::string folder, std::unique_ptr<rocksdb::Env> env, std::unique_ptr<rocksdb::DB> db, bool follows)
    : folder_(std::move(folder)), env_(std::move(env)), db_(std::move(db)), follows_(follows) {}

Index::~Index() = default;

Result<std::unique_ptr<Index>> Index::open_writable(const std::string& folder, bool create) {
    auto env = make_index_env();
    auto options = options_of(false);
    options.env = env.get();
    options.create_if_missing = options.error_if_exists = create;
    rocksdb::DB* db = nullptr;
    auto status = rocksdb::DB::Open(options, folder, &db);
    if (!status.ok()) return failed(folder, create ? "create the index" : "open the index", status);
    return std::unique_ptr<Index>(new Index(folder, std::move(env), std::unique_ptr<rocksdb::DB>(db), false));
}

Result<std::unique_ptr<Index>> Index::create(const std::string& folder) { return open_writable(folder, true); }

Result<std::unique_ptr<Index>> Index::open_to_write(const std::string& folder) { return open_writable(folder, false); }

Result<std::unique_ptr<Index>> Index::open_to_follow(const std::string& folder) {
    // The writer may remove a file between the moment that it is listed and the one that it is opened.
    constexpr int tries = 5;
    rocksdb::Status status;
    for (int i = 0; i < tries; ++i) {
        rocksdb::DB* db = nullptr;
        // Nothing is written to the second folder, since the log goes nowhere.
        status = rocksdb::DB::OpenAsSecondary(options_of(true), folder, folder, &db);
        if (status.ok()) return std::unique_ptr<Index>(new Index(folder, nullptr, std::unique_ptr<rocksdb::DB>(db), true));
    }
    return failed(folder, "open the index", status);
}

Result<void> Index::refresh() {
    if (!follows_) return {};
    auto status = db_->TryCatchUpWithPrimary();
    if (!status.ok()) return failed(folder_, "follow the index", status);
    return {};
}

Result<std::unique_ptr<BlockCursor>> Index::cursor() const {
    // Without an end a search behind the last block would go through all that was written since, of every kind.
    static const rocksdb::Slice end_of_blocks("c");
    rocksdb::ReadOptions waits;
    waits.iterate_upper_bound = &end_of_blocks;
    rocksdb::ReadOptions no_wait = waits;
    no_wait.read_tier = rocksdb::kBlockCacheTier;
    std::vector<rocksdb::Iterator*> both{db_->NewIterator(waits), db_->NewIterator(no_wait)};
    return std::unique_ptr<BlockCursor>(
        new BlockCursor(std::unique_ptr<rocksdb::Iterator>(both[0]), std::unique_ptr<rocksdb::Iterator>(both[1]), folder_));
}

Result<void> Index::visit_runs(uint32_t generation,
                               const std::function<Result<void>(uint32_t, std::span<const std::byte>)>& visit) const {
    Bounded bounded(runs_key(generation + 1, 0));
    std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(bounded.options));
    for (at->Seek(runs_key(generation, 0)); at->Valid(); at->Next()) {
        if (at->key().size() != runs_key_bytes) return damaged(folder_, "a list of changes");
        TRY(visit(be_at<uint32_t>(at->key(), 5), bytes_of_slice(at->value())));
    }
    if (!at->status().ok()) return failed(folder_, "read the changes", at->status());
    return {};
}

Result<std::optional<Index::Page>> Index::page(unsigned level, uint64_t page, uint32_t generation) const {
    std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator({}));
    std::string key = page_key(level, page, generation);
    at->Seek(key);
    if (!at->status().ok()) return failed(folder_, "read the tree", at->status());
    constexpr size_t same = page_key_bytes - 4;
    if (!at->Valid() || !at->key().starts_with({key.data(), same})) return std::nullopt;
    if (at->key().size() != page_key_bytes) return damaged(folder_, "a page of the tree");
    return Page{~be_at<uint32_t>(at->key(), same), at->value().ToString()};
}

Result<std::vector<uint32_t>> Index::page_generations(unsigned level, uint64_t page) const {
    std::vector<uint32_t> all;
    Bounded bounded(page_key(level, page + 1, ~uint32_t{0}));
    std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(bounded.options));
    for (at->Seek(page_key(level, page, ~uint32_t{0})); at->Valid(); at->Next())
        all.push_back(~be_at<uint32_t>(at->key(), page_key_bytes - 4));
    if (!at->status().ok()) return failed(folder_, "read the tree", at->status());
    return all;
}

Result<std::vector<std::pair<uint32_t, std::string>>> Index::generations() const {
    std::vector<std::pair<uint32_t, std::string>> all;
    Bounded bounded("h");
    std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(bounded.options));
    for (at->Seek("g"); at->Valid(); at->Next()) {
        if (at->key().size() != generation_key_bytes) return damaged(folder_, "a generation");
        all.emplace_back(be_at<uint32_t>(at->key(), 1), at->value().ToString());
    }
    if (!at->status().ok()) return failed(folder_, "read the generations", at->status());
    return all;
}

Result<std::vector<PunchedRange>> Index::punched(size_t count_max) const {
    std::vector<PunchedRange> all;
    Bounded bounded("q");
    std::unique_ptr<rocksdb::Iterator> at(db_->NewIterator(bounded.options));
    for (at->Seek("p"); at->Valid() && all.size() < count_max; at->Next()) {
        if (at->key().size() != punched_key_bytes || at->value().size() != 8) return damaged(folder_, "a range to punch out");
        all.push_back({be_at<uint32_t>(at->key(), 1), be_at<uint64_t>(at->key(), 5), be_at<uint64_t>(at->value(), 0)});
    }
    if (!at->status().ok()) return failed(folder_, "read the ranges to punch out", at->status());
    return all;
}

Result<std::optional<std::string>> Index::value(const std::string& key, std::string_view what) const {
    std::string value;
    auto status = db_->Get({}, key, &value);
    if (status.IsNotFound()) return std::nullopt;
    if (!status.ok()) return failed(folder_, what, status);
    return value;
}

Result<std::optional<std::string>> Index::get(std::string_view name) const {
    return value(name_key(name), fmt::format("read \"{}\"", name));
}

Result<std::optional<std::string>> Index::runs(uint32_t generation, uint32_t sequence) const {
    return value(runs_key(generation, sequence), "read the changes");
}

Result<void> Index::write(IndexBatch& batch, bool durable) {
    rocksdb::WriteOptions options;
    options.sync = durable;
    auto status = db_->Write(options, batch.batch_.get());
    if (!status.ok()) return failed(folder_, "write to the index", status);
    batch.batch_->Clear();
    return {};
}

}  // namespace hyper
