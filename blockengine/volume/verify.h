// SPDX-License-Identifier: Apache-2.0
// Reads what a volume has and checks it: each block's hash, and a generation's root.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/volume/generation.h"
#include "blockengine/volume/stored_block.h"
#include "blockengine/volume/volume.h"

namespace hyper {

struct VerifyOptions {
    double fraction = 1;       // of the blocks, drawn at random; the root is checked only with all of them
    uint64_t seed = 0;         // of the draw; 0: another each time
    unsigned threads = 2;
    std::function<void(uint64_t total_bytes)> planned;
    std::function<void(uint64_t bytes)> done;
    std::function<bool()> stop;
};

// A range of the disk that is not as it was.
struct BadRange {
    uint64_t offset = 0, length = 0;
    Verdict verdict = Verdict::corrupt;
    std::string why;
};

struct VerifyReport {
    Generation generation;
    uint64_t blocks = 0, bytes = 0;  // that were looked at
    std::vector<BadRange> bad;       // ascending; the first bad_max, neighbours with one verdict merged
    uint64_t bad_blocks = 0;
    std::optional<Sha256> root;      // as computed; nullopt where not all was read
    struct BadCompanion {
        std::string name, why;
    };
    std::vector<BadCompanion> bad_companions;
    static constexpr size_t bad_max = 1000;

    // corrupt wins over could_not_tell, which wins over good.
    Verdict verdict() const;
};

// Errors: those of the index, ECANCELED. What is wrong with blocks is in the report.
Result<VerifyReport> verify_generation(const Volume& volume, const Generation& generation, const VerifyOptions& options);

// Which blocks a generation has something stored of.
Result<BlockRuns> stored_runs(const Volume& volume, uint32_t generation);

}  // namespace hyper
