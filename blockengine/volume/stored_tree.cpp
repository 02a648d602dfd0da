// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/stored_tree.h"

#include <bit>
#include <cerrno>
#include <cstring>
#include <utility>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

std::vector<std::byte> bytes_of_page(uint64_t present, std::span<const Sha256, page_children> hashes) {
    std::vector<std::byte> bytes(8);
    store_le<uint64_t>(bytes.data(), present);
    for (unsigned i = 0; i < page_children; ++i)
        if (present >> i & 1) bytes.insert(bytes.end(), hashes[i].begin(), hashes[i].end());
    return bytes;
}

bool read_page(std::string_view bytes, uint64_t& present, std::span<Sha256, page_children> hashes) {
    if (bytes.size() < 8) return false;
    present = load_le<uint64_t>(reinterpret_cast<const std::byte*>(bytes.data()));
    bytes.remove_prefix(8);
    if (bytes.size() != sizeof(Sha256) * static_cast<size_t>(std::popcount(present))) return false;
    for (unsigned i = 0; i < page_children; ++i) {
        if ((present >> i & 1) == 0) continue;
        std::memcpy(hashes[i].data(), bytes.data(), sizeof(Sha256));
        bytes.remove_prefix(sizeof(Sha256));
    }
    return true;
}

}  // namespace

Result<void> StoredTree::open(unsigned level, uint64_t number) {
    Page& page = pages_[level];
    if (page.open && page.number == number) return {};
    TRY(hand_up(level));
    close(level);
    page = {.number = number, .open = true, .changed = false, .present = 0, .hashes = {}, .outdated = {}};
    auto stored = TRY(index_.page(level, number, pending_));
    if (!stored) return {};
    if (!read_page(stored->bytes, page.present, page.hashes))
        return fail(EIO, "page {} of level {} of the tree of hashes is damaged (hyperctl volume repair rebuilds it)", number, level);
    // Kept: the newest that is committed, and what is pending already.
    bool committed = false;
    for (uint32_t generation : TRY(index_.page_generations(level, number))) {
        if (generation >= pending_) continue;
        if (committed) page.outdated.push_back(generation);
        committed = true;
    }
    return {};
}

Result<void> StoredTree::set_child(unsigned level, uint64_t child, const Sha256& hash) {
    TRY(open(level, child / page_children));
    Page& page = pages_[level];
    uint64_t bit = uint64_t{1} << child % page_children;
    page.hashes[child % page_children] = hash;
    page.present = hash == zero_tree(page_height * level) ? page.present & ~bit : page.present | bit;
    page.changed = true;
    return {};
}

Result<void> StoredTree::set_leaf(uint64_t leaf, const Sha256& hash) { return set_child(0, leaf, hash); }

// What changed in a page, into the page above.
Result<void> StoredTree::hand_up(unsigned level) {
    Page& page = pages_[level];
    if (!page.open || !page.changed || level + 1 == levels) return {};
    return set_child(level + 1, page.number, page_hash(level, page.present, page.hashes));
}

void StoredTree::close(unsigned level) {
    Page& page = pages_[level];
    if (!page.changed) return;
    closed_.push_back({level, page.number, bytes_of_page(page.present, page.hashes), std::move(page.outdated)});
    page.outdated.clear();
    page.changed = false;
}

Result<void> StoredTree::save(IndexBatch& batch) {
    for (unsigned level = 0; level < levels; ++level) TRY(hand_up(level));
    for (unsigned level = 0; level < levels; ++level) close(level);
    for (const Closed& page : closed_) {
        batch.put_page(page.level, page.number, pending_, page.bytes);
        for (uint32_t generation : page.outdated) batch.remove_page(page.level, page.number, generation);
    }
    closed_.clear();
    return {};
}

Result<Sha256> StoredTree::root(uint64_t size_bytes) {
    for (unsigned level = 0; level < levels; ++level) TRY(hand_up(level));
    unsigned height = tree_height(size_bytes);
    unsigned level = height == 0 ? 0 : (height - 1) / page_height;
    TRY(open(level, 0));
    const Page& page = pages_[level];
    return root_hash(size_bytes, page_hash(level, page.present, page.hashes, height - level * page_height));
}

}  // namespace hyper
