// SPDX-License-Identifier: Apache-2.0
// Which generations are pruned, as every process sees at once: one byte a generation in a mapped file. A generation is
// marked before anything of it goes, so whoever reads something of it and then finds no mark has read what was there.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "blockengine/base/result.h"

namespace hyper {

// Thread-safe.
class PrunedMarks {
  public:
    // No volume has more generations.
    static constexpr uint32_t generation_max = (16 << 20) - 1;

    PrunedMarks() = default;
    // Makes the file where there is none.
    static Result<void> create(const std::string& path);
    static Result<PrunedMarks> open(const std::string& path, bool writing);

    bool pruned(uint32_t generation) const;
    // On the disk on return.
    Result<void> mark(uint32_t generation);

  private:
    std::string path_;
    std::shared_ptr<std::byte> bytes_;  // mapped
};

}  // namespace hyper
