// SPDX-License-Identifier: Apache-2.0
// How far an attempt has come, as its sync told it: a file a job, FOLDER/JOB, for the case that hyperd is killed while it runs.
#pragma once

#include <string>

#include "blockengine/base/instant.h"
#include "blockengine/base/result.h"

namespace hyper::hyperd {

struct AttemptNote {
    std::string period;
    uint64_t before = 0;  // how many attempts of its run are in the ledger already: so none is counted twice
    Instant from{}, until{};
    uint64_t moved_bytes = 0;
};

// In place of an older one, of whatever run; on the disk on return.
Result<void> write_note(const std::string& folder, const std::string& job, const AttemptNote& note);
// Errors: ENOENT where there is none; EINVAL for what write_note() did not write.
Result<AttemptNote> read_note(const std::string& folder, const std::string& job);
void remove_note(const std::string& folder, const std::string& job);

}  // namespace hyper::hyperd
