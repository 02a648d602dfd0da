// SPDX-License-Identifier: Apache-2.0
#include "blockengine/block_cache.h"

namespace hyper {

std::shared_ptr<const Bytes> BlockCache::get(uint64_t file_id, uint64_t offset) {
    Key key{file_id, offset};
    Shard& shard = shard_of(key);
    std::lock_guard lock(shard.mutex);
    auto found = shard.index.find(key);
    if (found == shard.index.end()) return nullptr;
    shard.recent.splice(shard.recent.begin(), shard.recent, found->second);
    return found->second->block;
}

void BlockCache::put(uint64_t file_id, uint64_t offset, std::shared_ptr<const Bytes> block) {
    Key key{file_id, offset};
    Shard& shard = shard_of(key);
    if (block->size() > shard_bytes_max_) return;
    std::lock_guard lock(shard.mutex);
    if (shard.index.contains(key)) return;
    while (shard.bytes + block->size() > shard_bytes_max_) {
        shard.bytes -= shard.recent.back().block->size();
        shard.index.erase(shard.recent.back().key);
        shard.recent.pop_back();
    }
    shard.bytes += block->size();
    shard.recent.push_front({key, std::move(block)});
    shard.index.emplace(key, shard.recent.begin());
}

Result<std::shared_ptr<const Bytes>> BlockCache::read(const File& file, uint64_t offset, size_t length) {
    auto cached = get(file.id(), offset);
    if (cached && cached->size() == length) return cached;
    auto block = std::make_shared<Bytes>(length);
    TRY(file.read(offset, *block));
    put(file.id(), offset, block);
    return block;
}

}  // namespace hyper
