// SPDX-License-Identifier: Apache-2.0
// How many calls an account may make. Kept by us, so that a service never has to refuse: by the minute, and by the calendar month (UTC) for
// plans that are paid by the call. The month's count is on the disk before a call is made, so a restart does not forget it.
#pragma once

#include <cstdint>
#include <deque>
#include <string>

#include "blockengine/base/instant.h"

namespace hyper::carbon {

// Bound to one thread at a time.
class CallLimit {
  public:
    // 0: no limit. `file` holds the month's count ("2026-11 1234"); it is needed with `per_month`, and made where it is not there.
    CallLimit(uint32_t per_minute, uint32_t per_month, std::string file)
        : per_minute_(per_minute), per_month_(per_month), file_(std::move(file)) {}

    // `now`, and the call is counted; or when there will be room. Errors: what the file's system says, EBADMSG for one that holds something else.
    Result<Instant> take(Instant now);

  private:
    const uint32_t per_minute_, per_month_;
    const std::string file_;
    std::deque<Instant> last_minute_;
};

}  // namespace hyper::carbon
