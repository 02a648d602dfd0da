// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/block_runs.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <optional>

namespace hyper {

namespace {

constexpr uint64_t end_max = uint64_t{1} << 63;

void put(std::vector<std::byte>& out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) out.push_back(static_cast<std::byte>(value | 0x80));
    out.push_back(static_cast<std::byte>(value));
}

// Below 2^63, in the shortest form; nullopt for anything else.
std::optional<uint64_t> take(std::span<const std::byte> bytes, size_t& at) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 63 && at < bytes.size(); shift += 7) {
        auto byte = std::to_integer<uint64_t>(bytes[at++]);
        value |= (byte & 0x7f) << shift;
        if (byte & 0x80) continue;
        if (byte == 0 && shift > 0) return std::nullopt;
        return value;
    }
    return std::nullopt;
}

// Merges two normal lists into one; returns its end.
BlockRun* merge(const BlockRun* a, const BlockRun* a_end, const BlockRun* b, const BlockRun* b_end,
                BlockRun* out) {
    BlockRun* const begin = out;
    auto append = [&](const BlockRun& run) {
        if (out != begin && run.first <= out[-1].first + out[-1].count)
            out[-1].count = std::max(out[-1].count, run.first + run.count - out[-1].first);
        else
            *out++ = run;
    };
    while (a != a_end && b != b_end) {
        // Which one comes first cannot be foreseen, so there is no branch.
        bool from_a = a->first <= b->first;
        append(*(from_a ? a : b));
        a += from_a;
        b += !from_a;
    }
    while (a != a_end) append(*a++);
    while (b != b_end) append(*b++);
    return out;
}

}  // namespace

void BlockRuns::add(uint64_t first, uint64_t count) {
    assert(first < end_max && count <= end_max - first);
    if (count == 0) return;
    if (!runs_.empty()) {
        BlockRun& last = runs_.back();
        uint64_t end = last.first + last.count;
        if (first >= last.first && first <= end) {
            last.count = std::max(end, first + count) - last.first;
            return;
        }
        if (first < last.first) normal_ = false;
    }
    runs_.push_back({first, count});
    if (runs_.size() > runs_max) coarsen();
}

// To half of what there may be, so that it is not to be done again soon; no more gaps are closed than that takes.
void BlockRuns::coarsen() {
    normalise();
    constexpr size_t wanted = runs_max / 2;
    if (runs_.size() <= wanted) return;
    std::vector<uint64_t> gaps;
    gaps.reserve(runs_.size() - 1);
    for (size_t i = 1; i < runs_.size(); ++i) gaps.push_back(runs_[i].first - (runs_[i - 1].first + runs_[i - 1].count));
    auto widest = gaps.begin() + static_cast<ptrdiff_t>(runs_.size() - wanted - 1);  // that is closed
    std::nth_element(gaps.begin(), widest, gaps.end());
    const uint64_t limit = *widest;
    auto as_wide = static_cast<size_t>(std::count(gaps.begin(), widest + 1, limit));  // of those that are closed
    size_t kept = 0;
    uint64_t end = runs_[0].first + runs_[0].count;  // of the last run as it was
    for (size_t i = 1; i < runs_.size(); ++i) {
        const BlockRun run = runs_[i];
        uint64_t gap = run.first - end;
        end = run.first + run.count;
        if (gap < limit || (gap == limit && as_wide > 0)) {
            as_wide -= gap == limit ? 1 : 0;
            runs_[kept].count = end - runs_[kept].first;
        } else {
            runs_[++kept] = run;
        }
    }
    runs_.resize(kept + 1);
}

void BlockRuns::normalise() {
    if (normal_) return;
    std::sort(runs_.begin(), runs_.end(),
              [](const BlockRun& a, const BlockRun& b) { return a.first < b.first; });
    normal_ = true;
    runs_.resize(static_cast<size_t>(merge(runs_.data(), runs_.data() + runs_.size(), nullptr, nullptr, runs_.data()) - runs_.data()));
}

BlockRuns BlockRuns::union_of(std::span<const BlockRuns* const> lists) {
    // Pairs of neighbours are merged, and pairs of pairs, between two buffers: each run moves as
    // often as the number of lists can be halved.
    std::vector<BlockRun> now, next;
    std::vector<size_t> ends;  // of each list in `now`
    size_t total = 0;
    for (const BlockRuns* list : lists) total += list->runs_.size();
    now.reserve(total);
    for (const BlockRuns* list : lists) {
        assert(list->normal_);
        now.insert(now.end(), list->runs_.begin(), list->runs_.end());
        ends.push_back(now.size());
    }
    next.resize(ends.size() > 1 ? total : 0);
    while (ends.size() > 1) {
        size_t lists_out = 0;
        BlockRun* out = next.data();
        const BlockRun* start = now.data();
        for (size_t i = 0; i < ends.size(); i += 2) {
            const BlockRun* middle = now.data() + ends[i];
            const BlockRun* end = now.data() + ends[std::min(i + 1, ends.size() - 1)];
            out = merge(start, middle, middle, end, out);
            ends[lists_out++] = static_cast<size_t>(out - next.data());
            start = end;
        }
        ends.resize(lists_out);
        now.swap(next);
    }
    BlockRuns all;
    now.resize(ends.empty() ? 0 : ends[0]);
    all.runs_ = std::move(now);
    if (all.runs_.size() > runs_max) all.coarsen();
    return all;
}

bool BlockRuns::contains(uint64_t block) const {
    assert(normal_);
    auto after = std::upper_bound(runs_.begin(), runs_.end(), block,
                                  [](uint64_t b, const BlockRun& run) { return b < run.first; });
    return after != runs_.begin() && block - (after - 1)->first < (after - 1)->count;
}

uint64_t BlockRuns::block_count() const {
    assert(normal_);
    uint64_t count = 0;
    for (const BlockRun& run : runs_) count += run.count;
    return count;
}

std::vector<std::byte> BlockRuns::encode() const {
    assert(normal_);
    std::vector<std::byte> bytes;
    uint64_t next = 0;  // the least block that the run may begin with
    for (const BlockRun& run : runs_) {
        put(bytes, run.first - next);
        put(bytes, run.count - 1);
        next = run.first + run.count + 1;
    }
    return bytes;
}

Result<BlockRuns> BlockRuns::decode(std::span<const std::byte> bytes) {
    BlockRuns out;
    // A run takes two bytes at least, and each number's last byte has its high bit clear.
    size_t numbers = static_cast<size_t>(std::count_if(bytes.begin(), bytes.end(), [](std::byte b) {
        return (b & std::byte{0x80}) == std::byte{0};
    }));
    out.runs_.reserve(numbers / 2);
    uint64_t next = 0;
    for (size_t at = 0; at < bytes.size();) {
        size_t start = at;
        auto gap = take(bytes, at), less = gap ? take(bytes, at) : std::nullopt;
        if (!less)
            return fail(EINVAL,
                        "runs of blocks: byte {} of {}: not two numbers in their shortest form",
                        start, bytes.size());
        if (next > end_max || *gap > end_max - next || *less >= end_max - next - *gap)
            return fail(
                EINVAL,
                "runs of blocks: byte {} of {}: {} blocks after a gap of {} go beyond block 2^63",
                start, bytes.size(), *less, *gap);
        out.runs_.push_back({next + *gap, *less + 1});
        next += *gap + *less + 2;
    }
    return out;
}

}  // namespace hyper
