// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/block_runs.h"

#include <algorithm>
#include <cassert>
#include <cerrno>
#include <optional>
#include <utility>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

// No disk has more blocks, so no sum of two numbers overflows.
constexpr uint64_t block_max = uint64_t{1} << 62;

void append_number(std::vector<std::byte>& bytes, uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes.push_back(static_cast<std::byte>(value | 0x80));
    bytes.push_back(static_cast<std::byte>(value));
}

std::optional<uint64_t> take_number(std::span<const std::byte>& bytes) {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 63 && !bytes.empty(); shift += 7) {
        auto byte = static_cast<uint64_t>(bytes.front());
        bytes = bytes.subspan(1);
        value |= (byte & 0x7f) << shift;
        if (byte < 0x80) return value;
    }
    return std::nullopt;
}

}  // namespace

void BlockRuns::add(uint64_t first, uint64_t count) {
    if (count == 0) return;
    if (!runs_.empty()) {
        BlockRun& last = runs_.back();
        uint64_t end = last.first + last.count;
        if (first >= last.first && first <= end) {
            last.count = std::max(end, first + count) - last.first;
            return;
        }
        sorted_ = sorted_ && first > end;
    }
    runs_.push_back({first, count});
}

void BlockRuns::normalise() {
    if (sorted_) return;
    std::ranges::sort(runs_, {}, &BlockRun::first);
    auto unsorted = std::exchange(runs_, {});
    sorted_ = true;
    for (const BlockRun& run : unsorted) add(run.first, run.count);
    runs_.shrink_to_fit();
}

bool BlockRuns::contains(uint64_t block) const {
    assert(sorted_);
    auto after = std::ranges::upper_bound(runs_, block, {}, &BlockRun::first);
    return after != runs_.begin() && block - std::prev(after)->first < std::prev(after)->count;
}

uint64_t BlockRuns::blocks() const {
    uint64_t count = 0;
    for (const BlockRun& run : runs_) count += run.count;
    return count;
}

std::vector<std::byte> BlockRuns::encode() const {
    assert(sorted_);
    std::vector<std::byte> bytes;
    uint64_t at = 0;
    for (const BlockRun& run : runs_) {
        append_number(bytes, run.first - at);
        append_number(bytes, run.count);
        at = run.first + run.count;
    }
    return bytes;
}

Result<BlockRuns> BlockRuns::decode(std::span<const std::byte> bytes) {
    BlockRuns runs;
    uint64_t at = 0;
    while (!bytes.empty()) {
        auto distance = take_number(bytes), count = take_number(bytes);
        bool good = distance && count && *count > 0 && *distance <= block_max - at && *count <= block_max - at - *distance &&
                    (*distance > 0 || runs.runs_.empty());
        if (!good) return fail(EINVAL, "a list of runs of blocks is damaged behind {} runs", runs.runs_.size());
        at += *distance;
        runs.runs_.push_back({at, *count});
        at += *count;
    }
    return runs;
}

}  // namespace hyper
