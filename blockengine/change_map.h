// SPDX-License-Identifier: Apache-2.0
// What a disk knows of how it came to be what it is.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

struct ChangedRun {
    uint64_t offset, length;  // bytes of the disk
};

// Of one state of a disk. Thread-safe.
class ChangeMap {
  public:
    virtual ~ChangeMap() = default;
    // Which disk it is, for ever: "volume:1b2c...".
    virtual std::string disk() const = 0;
    // This state, as changed_since() takes it, for ever: "42:9f86d081884c7d65".
    virtual std::string change_id() const = 0;
    // The earlier states that can be asked about, by the short names that people use ("41"); newest first.
    virtual std::vector<std::string> earlier() const = 0;
    // Where this state may differ from that one: a short name, or a change id. Ascending, within the disk; more than what differs, never
    // less. nullopt for a state that is not known, not any more, or not the one that the id means.
    virtual Result<std::optional<std::vector<ChangedRun>>> changed_since(std::string_view state) const = 0;
    // Told when a generation of this state is committed: later states will be compared with this one, no more with those before.
    virtual void kept() const {}
};

}  // namespace hyper
