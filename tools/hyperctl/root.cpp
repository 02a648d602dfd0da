// SPDX-License-Identifier: Apache-2.0
// The root hash of a disk, as blockengine/volume/README.md, "Root", says it.
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "blockengine/base/hex.h"
#include "blockengine/volume/merkle.h"
#include "convert/remote/remote.h"
#include "tools/hyperctl/command.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/progress.h"

namespace hyper::ctl {

namespace {

struct RootOptions {
    OperandOptions operands;
    std::string name;
    bool progress = false, json = false;
};

// A thread holds one chunk of 2 MiB.
constexpr unsigned threads_max = 64;
// What a server at some distance needs to have something to do while others hash.
constexpr unsigned remote_threads_min = 8;

// Threads hash chunks as they come; this brings them in order. Thread-safe.
class LeafOrder {
  public:
    explicit LeafOrder(unsigned height) : stream_(height) {}

    // The leaves of the walk's chunk `number`. Waits while chunks_ahead_max chunks wait for one
    // before them.
    void add(uint64_t number, uint64_t first_leaf, std::vector<Sha256> hashes);
    // A chunk will be missing: nobody waits any more.
    void give_up();
    // When all chunks were added.
    Sha256 finish() { return stream_.finish(); }

  private:
    static constexpr uint64_t chunks_ahead_max = 1024;
    struct Leaves {
        uint64_t first;
        std::vector<Sha256> hashes;
    };

    std::mutex mutex_;
    std::condition_variable moved_;
    uint64_t next_ = 0;                   // guarded by mutex_
    bool given_up_ = false;               // guarded by mutex_
    std::map<uint64_t, Leaves> waiting_;  // guarded by mutex_
    MerkleStream stream_;                 // guarded by mutex_
};

void LeafOrder::add(uint64_t number, uint64_t first_leaf, std::vector<Sha256> hashes) {
    std::unique_lock lock(mutex_);
    // Whoever has the next chunk does not wait.
    moved_.wait(lock, [&] { return number < next_ + chunks_ahead_max || given_up_; });
    waiting_.emplace(number, Leaves{first_leaf, std::move(hashes)});
    for (auto first = waiting_.begin(); first != waiting_.end() && first->first == next_;
         first = waiting_.erase(first), ++next_)
        for (size_t i = 0; i < first->second.hashes.size(); ++i)
            stream_.add(first->second.first + i, first->second.hashes[i]);
    moved_.notify_all();
}

void LeafOrder::give_up() {
    std::lock_guard lock(mutex_);
    given_up_ = true;
    moved_.notify_all();
}

std::vector<Sha256> hash_leaves(std::span<const std::byte> bytes) {
    std::vector<Sha256> hashes;
    for (; !bytes.empty(); bytes = bytes.subspan(std::min<size_t>(bytes.size(), leaf_bytes))) {
        auto leaf = bytes.first(std::min<size_t>(bytes.size(), leaf_bytes));
        hashes.push_back(all_zero(leaf) ? zero_tree(0) : leaf_hash(leaf));
    }
    return hashes;
}

Result<Sha256> root_of(Engine& engine, const Source& source, unsigned threads, bool progress_shown) {
    DataWalk walk({&source}, leaf_bytes);
    Progress progress(progress_shown, progress_shown ? TRY(walk.data_bytes()) : 0);
    LeafOrder order(tree_height(source.size_bytes()));
    auto hash_chunk = [&](const Chunk& chunk) -> Result<void> {
        std::vector<std::byte> bytes(chunk.length);
        if (auto done = engine.read(source, chunk.offset, bytes); !done) {
            order.give_up();
            return done;
        }
        order.add(chunk.number, chunk.offset / leaf_bytes, hash_leaves(bytes));
        progress.add(chunk.length);
        return {};
    };
    TRY(walk_in_threads(
        walk, threads, [](const Chunk&) { return false; }, hash_chunk));
    return root_hash(source.size_bytes(), order.finish());
}

Result<int> root(Engine& engine, const RootOptions& options) {
    unsigned threads = std::clamp(std::thread::hardware_concurrency(), 2u, threads_max);
    if (is_remote(options.name)) threads = std::max(threads, remote_threads_min);
    auto operand = TRY(options.operands.open(engine, options.name));
    const Source& source = operand.source();
    Sha256 root = TRY(root_of(engine, source, threads, options.progress));
    uint64_t size_bytes = source.size_bytes();
    if (options.json)
        print_json({{"root", hex(root)}, {"size-bytes", size_bytes}});
    else
        fmt::print("{}\n", hex(root));
    return exit_ok;
}

}  // namespace

void add_root(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("root", "Print the root hash, which says what is on a disk");
    auto options = std::make_shared<RootOptions>();
    command
        ->add_option("IMAGE", options->name,
                     "FILE, FILE@SNAPSHOT, a name of --spec's disks, or a provider's URI")
        ->required();
    options->operands.add_to(*command, true);
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return root(engine, *options); };
    });
}

}  // namespace hyper::ctl
