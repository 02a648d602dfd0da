// SPDX-License-Identifier: Apache-2.0
#include "tests/support/two_states.h"

#include <algorithm>
#include <cstring>
#include <random>

#include "blockengine/base/bytes.h"

namespace hyper::test {

Result<void> ArraySource::map(uint64_t offset, uint64_t length, PieceList& out) const {
    constexpr uint64_t grain = 4096;
    for (uint64_t end = offset + length; offset < end && !out.full();) {
        uint64_t stop = std::min<uint64_t>(round_down(offset, grain) + grain, bytes_.size()), take = std::min(end, stop) - offset;
        if (all_zero(std::span(bytes_).subspan(round_down(offset, grain), stop - round_down(offset, grain))))
            out.zeros(take);
        else
            out.computed(shared_from_this(), offset, take);
        offset += take;
    }
    return {};
}

Result<void> ArraySource::produce(uint64_t offset, std::span<std::byte> out) const {
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return {};
}

TwoStates two_states(uint64_t size_bytes, uint64_t block_bytes, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::vector<std::byte> before(size_bytes);
    auto fill = [&](std::vector<std::byte>& disk, uint64_t offset, uint64_t length) {
        bool zeros = random() % 3 == 0;
        for (uint64_t i = 0; i < length; ++i) disk[offset + i] = zeros ? std::byte{} : static_cast<std::byte>(random() | 1);
    };
    for (uint64_t at = 0; at < size_bytes; at += block_bytes) fill(before, at, std::min(block_bytes, size_bytes - at));
    std::vector<std::byte> after = before;
    std::vector<ChangedRun> changed;
    for (uint64_t at = 0; at < size_bytes; at += block_bytes) {
        // Long stretches without a change, too.
        if (at / block_bytes / 40 % 2 == 1 || random() % 3 != 0) continue;
        uint64_t length = std::min(block_bytes, size_bytes - at);
        if (random() % 8 != 0) fill(after, at, length);
        changed.push_back({at, length});
    }
    return {std::make_shared<ArraySource>(std::move(before)), std::make_shared<ArraySource>(std::move(after)), std::move(changed)};
}

}  // namespace hyper::test
