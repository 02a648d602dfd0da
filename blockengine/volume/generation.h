// SPDX-License-Identifier: Apache-2.0
// One committed state of a volume, and what is known of how it came to be.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/base/sha256.h"

namespace hyper {

// Which source a generation is of, and at which of its states: what the next sync asks the source about.
struct Origin {
    std::string source;     // "file:/images/web01.qcow2", "volume:1b2c...": what it is, for ever
    std::string change_id;  // its state, in the source's own words; empty where it keeps none

    bool operator==(const Origin&) const = default;
};

// Something that belongs to a generation besides its disk, as a machine's description (companions.h).
struct Companion {
    std::string name;  // "domain.xml"
    uint64_t size_bytes = 0;
    Sha256 hash{};
};

struct Generation {
    uint32_t number = 0;
    uint64_t size_bytes = 0;
    int64_t time = 0;          // seconds since 1970, UTC: when it was committed
    Sha256 root{};
    uint64_t attempt = 0;      // which run wrote it
    uint64_t changed_bytes = 0;  // of blocks that differ from the generation before
    uint64_t stored_bytes = 0;   // that they took in data files
    Origin origin;
    std::string draft_id;  // of the draft that became it; empty for a sync
    bool pinned = false;
    std::vector<Companion> companions{};
    std::string run{};  // what it was made for, in the words of whoever asked for it (SyncOptions::run); empty where nobody said

    std::string to_json() const;
    // Errors: EINVAL for what to_json() did not write.
    static Result<Generation> from_json(std::string_view text);
};

// "2026-11-20T02:00:05Z"
std::string utc_text(int64_t time);
// Of "2026-11-20T02:00Z", with seconds or without, also without the Z; a date alone is its last second. nullopt for anything else.
std::optional<int64_t> parse_utc(std::string_view text);

// The generation that `which` means: "latest", a number, or a time, which means the newest that is not younger. `all` is
// ascending and of one volume. Errors: ENOENT, saying which there are.
Result<Generation> find_generation(const std::vector<Generation>& all, std::string_view which);

}  // namespace hyper
