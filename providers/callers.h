// SPDX-License-Identifier: Apache-2.0
// Threads that call into providers, so that whoever asked can stop waiting.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>

#include "blockengine/base/result.h"

namespace hyper {

// Thread-safe. A call that hangs keeps its thread for good: what it uses must be owned by the call itself.
class Callers {
  public:
    using Clock = std::chrono::steady_clock;
    // Hung calls beyond that are refused, so that a provider that always hangs does not use up all memory.
    static constexpr size_t threads_max = 64;

    static Callers& instance();

    // Runs `call` in another thread, and waits until it returned (true) or the deadline passed (false); it may then still run. Errors: EBUSY
    // where all threads hang.
    Result<bool> run(Clock::time_point deadline, std::function<void()> call);
    // Runs it some time.
    void post(std::function<void()> call);
    // Waits until what was posted has been done. false: the deadline passed.
    bool drain(Clock::time_point deadline);

  private:
    struct Shared;
    Callers();
    std::shared_ptr<Shared> shared_;  // its threads outlive everything
};

}  // namespace hyper
