// SPDX-License-Identifier: Apache-2.0
#include "blockengine/allocation_index.h"

#include <algorithm>
#include <bit>
#include <cassert>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

// Sets bits [first, first + count) of a chunk's bitmap.
void set_bits(uint64_t* words, uint64_t first, uint64_t count) {
    while (count > 0) {
        uint64_t bit = first % 64, take = std::min(64 - bit, count);
        uint64_t ones = take == 64 ? ~uint64_t{0} : (uint64_t{1} << take) - 1;
        words[first / 64] |= ones << bit;
        first += take;
        count -= take;
    }
}

}  // namespace

AllocationIndex::AllocationIndex(uint64_t unit_bytes, uint64_t unit_count)
    : unit_bytes_(unit_bytes), unit_count_(unit_count), chunks_(divide_up(unit_count, chunk_units)) {}

Result<std::shared_ptr<const AllocationIndex>> AllocationIndex::build(const Source& source, uint64_t unit_bytes) {
    ChangedRun all{0, source.size_bytes()};
    return build(source, std::span(&all, all.length > 0 ? 1 : 0), unit_bytes);
}

Result<std::shared_ptr<const AllocationIndex>> AllocationIndex::build(const Source& source, std::span<const ChangedRun> runs,
                                                                      uint64_t unit_bytes) {
    std::shared_ptr<AllocationIndex> index(
        new AllocationIndex(unit_bytes, divide_up(source.size_bytes(), unit_bytes)));
    uint64_t done = 0;
    for (const ChangedRun& run : runs) {
        uint64_t start = std::max(done, run.offset / unit_bytes * unit_bytes);
        done = std::max(done, std::min(round_up(run.offset + run.length, unit_bytes), source.size_bytes()));
        if (start >= done) continue;
        TRY(visit_extents(source, start, done - start, [&](const Extent& extent) {
            if (!extent.zero) {
                uint64_t first = extent.offset / unit_bytes;
                index->mark(first, divide_up(extent.offset + extent.length, unit_bytes) - first);
            }
            return true;
        }));
    }
    index->finish();
    return index;
}

std::shared_ptr<const AllocationIndex> AllocationIndex::touched(uint64_t size_bytes, std::span<const ChangedRun> runs,
                                                                uint64_t unit_bytes) {
    std::shared_ptr<AllocationIndex> index(new AllocationIndex(unit_bytes, divide_up(size_bytes, unit_bytes)));
    for (const ChangedRun& run : runs) {
        uint64_t first = run.offset / unit_bytes;
        index->mark(first, divide_up(run.offset + run.length, unit_bytes) - first);
    }
    index->finish();
    return index;
}

uint64_t AllocationIndex::units_in(uint64_t chunk) const {
    return std::min(chunk_units, unit_count_ - chunk * chunk_units);
}

void AllocationIndex::mark(uint64_t first_unit, uint64_t count) {
    while (count > 0) {
        uint64_t chunk = first_unit / chunk_units, within = first_unit % chunk_units;
        uint64_t take = std::min(units_in(chunk) - within, count);
        Chunk& c = chunks_[chunk];
        if (take == units_in(chunk)) {
            c.kind = Kind::full;
            c.words.reset();
        } else if (c.kind != Kind::full) {
            if (!c.words) c.words = std::make_unique<uint64_t[]>(words_per_chunk);
            c.kind = Kind::mixed;
            set_bits(c.words.get(), within, take);
        }
        first_unit += take;
        count -= take;
    }
}

void AllocationIndex::finish() {
    for (uint64_t i = 0; i < chunks_.size(); ++i) {
        Chunk& chunk = chunks_[i];
        chunk.rank = allocated_count_;
        uint64_t here = chunk.kind == Kind::full ? units_in(i) : 0;
        if (chunk.kind == Kind::mixed) {
            for (uint64_t w = 0; w < words_per_chunk; ++w) here += static_cast<uint64_t>(std::popcount(chunk.words[w]));
            if (here == units_in(i)) {
                chunk.kind = Kind::full;
                chunk.words.reset();
            }
        }
        allocated_count_ += here;
    }
}

bool AllocationIndex::allocated(uint64_t unit) const {
    assert(unit < unit_count_);
    const Chunk& chunk = chunks_[unit / chunk_units];
    if (chunk.kind != Kind::mixed) return chunk.kind == Kind::full;
    uint64_t within = unit % chunk_units;
    return (chunk.words[within / 64] >> (within % 64) & 1) != 0;
}

uint64_t AllocationIndex::rank(uint64_t unit) const {
    assert(unit <= unit_count_);
    if (unit == unit_count_) return allocated_count_;
    const Chunk& chunk = chunks_[unit / chunk_units];
    uint64_t within = unit % chunk_units;
    if (chunk.kind == Kind::empty) return chunk.rank;
    if (chunk.kind == Kind::full) return chunk.rank + within;
    uint64_t count = chunk.rank;
    for (uint64_t w = 0; w < within / 64; ++w) count += static_cast<uint64_t>(std::popcount(chunk.words[w]));
    uint64_t below = (uint64_t{1} << (within % 64)) - 1;
    return count + static_cast<uint64_t>(std::popcount(chunk.words[within / 64] & below));
}

uint64_t AllocationIndex::select(uint64_t place) const {
    assert(place < allocated_count_);
    // The last chunk whose rank is <= place: it holds the unit, since an empty chunk's successor has the same rank.
    auto after = std::upper_bound(chunks_.begin(), chunks_.end(), place,
                                  [](uint64_t p, const Chunk& chunk) { return p < chunk.rank; });
    uint64_t index = static_cast<uint64_t>(after - chunks_.begin()) - 1;
    const Chunk& chunk = chunks_[index];
    uint64_t left = place - chunk.rank;
    if (chunk.kind == Kind::full) return index * chunk_units + left;
    for (uint64_t w = 0;; ++w) {
        uint64_t here = static_cast<uint64_t>(std::popcount(chunk.words[w]));
        if (left >= here) {
            left -= here;
            continue;
        }
        uint64_t word = chunk.words[w];
        for (; left > 0; --left) word &= word - 1;
        return index * chunk_units + w * 64 + static_cast<uint64_t>(std::countr_zero(word));
    }
}

uint64_t AllocationIndex::run_length(uint64_t unit, uint64_t limit) const {
    limit = std::min(limit, unit_count_ - unit);
    bool kind = allocated(unit);
    uint64_t run = 0;
    while (run < limit) {
        uint64_t at = unit + run, within = at % chunk_units;
        const Chunk& chunk = chunks_[at / chunk_units];
        if (chunk.kind != Kind::mixed) {
            if ((chunk.kind == Kind::full) != kind) break;
            run += units_in(at / chunk_units) - within;
            continue;
        }
        uint64_t word = chunk.words[within / 64] >> (within % 64);
        if (!kind) word = ~word;
        uint64_t same = std::min<uint64_t>(static_cast<uint64_t>(std::countr_one(word)), 64 - within % 64);
        run += same;
        if (same < 64 - within % 64) break;
    }
    return std::min(run, limit);
}

Result<void> map_allocated(const Source& disk, const AllocationIndex& index, uint64_t offset, uint64_t length,
                           PieceList& out) {
    const uint64_t unit_bytes = index.unit_bytes(), end = offset + length;
    uint64_t unit = index.select(offset / unit_bytes), within = offset % unit_bytes;
    while (offset < end && !out.full()) {
        uint64_t run = index.run_length(unit, divide_up(within + (end - offset), unit_bytes));
        uint64_t take = std::min(end - offset, run * unit_bytes - within), before = out.length();
        TRY(map_zero_extended(disk, unit * unit_bytes + within, take, out));
        if (out.length() - before != take) break;
        offset += take;
        within = 0;
        unit += run;
        if (offset < end) unit += index.run_length(unit, index.unit_count() - unit);  // the hole
    }
    return {};
}

}  // namespace hyper
