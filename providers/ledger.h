// SPDX-License-Identifier: Apache-2.0
// What we made elsewhere: snapshots, checkpoints, jobs, exports. Written down before it is made, struck out when it is surely gone.
//
// Design note. An entry is a file of its own in one folder, which all processes of a state folder share: made under another name, synced,
// renamed, and the folder synced, before the call that makes the thing. Striking out removes the file; that this may come undone in a power
// cut does no harm, since cleaning what is gone succeeds. So there is no format of a log to be torn, no lock, and no entry that two write.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

struct LedgerEntry {
    std::string number;              // the file's name
    std::string provider, where;     // its module, and the URI of the connection
    std::string kind, id;            // as the provider called it
    int64_t time_s = 0;              // since 1970 (UTC)
    int64_t pid = 0;                 // of who made it,
    uint64_t pid_started = 0;        // and when that process began (/proc/PID/stat), since numbers come again
};

// Thread-safe; any number of processes may use one folder.
class Ledger {
  public:
    // The folder is made when the first entry is.
    explicit Ledger(std::string folder) : folder_(std::move(folder)) {}

    // Durable on return. Errors: those of the system, and then the thing must not be made.
    Result<uint64_t> note(const std::string& provider, const std::string& where, const std::string& kind, const std::string& id);
    void forget(uint64_t entry);
    void forget(const LedgerEntry& entry);

    // By time. What cannot be read is told in the log, and left.
    Result<std::vector<LedgerEntry>> entries() const;
    // Whether the process that made it is there no more.
    static bool orphaned(const LedgerEntry& entry);

    const std::string& folder() const { return folder_; }

  private:
    std::string folder_;
};

// Letters and digits that nobody else has or gets: 128 random bits.
std::string unique_text();

}  // namespace hyper
