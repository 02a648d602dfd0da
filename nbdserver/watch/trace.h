// SPDX-License-Identifier: Apache-2.0
// Writes a trace of requests (trace_format.h) without ever holding up an event loop.
//
// Each event loop puts what it finished into a ring of its own; one thread takes the rings in turn
// and writes the file. Where a ring is full the request is left out and counted, and a line in the
// trace says how many. A file that can't be written any more (a full disk) is said in the log once,
// and then everything is left out.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "blockengine/base/result.h"
#include "nbdserver/watch/trace_format.h"

namespace hyper::watch {

// A ring from one event loop to the writer.
class TraceRing {
  public:
    TraceRing(size_t capacity, int wake_fd);

    // For one thread at a time, that of the loop; neither locks nor allocates. `request.start_ns`
    // is a time of CLOCK_MONOTONIC here; `export_id` is Trace::export_id()'s.
    void record(const TracedRequest& request, uint32_t export_id);

  private:
    friend class Trace;
    struct Slot {
        TracedRequest request;
        uint32_t export_id = 0;
    };

    const size_t capacity_;
    const std::unique_ptr<Slot[]> slots_;
    const int wake_fd_;
    alignas(64) std::atomic<uint64_t> written_{0};  // by the loop
    std::atomic<uint64_t> left_out_{0};             // by the loop
    alignas(64) std::atomic<uint64_t> taken_{0};    // by the writer
    uint64_t left_out_told_ = 0;                    // of the writer alone
};

// Thread-safe but for its rings.
class Trace {
  public:
    static constexpr size_t ring_requests = 32768;  // 2 MiB a loop; half of it wakes the writer
    static constexpr int write_ms_max = 200;  // after so long what a ring holds goes to the file

    // Makes the file (0600), or empties the one that is there. Errors: what the system says.
    static Result<std::unique_ptr<Trace>> create(const std::string& path);
    // Writes what the rings hold; no ring may be used any more. Waits for the file.
    ~Trace();

    // A ring for an event loop, which stays as long as the trace.
    TraceRing& add_ring();
    // A number for an export's name, to be asked for when a client opens it. The same for the same
    // name.
    uint32_t export_id(const std::string& export_name);

  private:
    Trace(std::string path, int file_fd, int wake_fd);
    void write_until_stopped();
    // Everything that is in the rings by now.
    void drain();
    void drain(TraceRing& ring, std::string& text);
    void write_out(std::string& text);
    const std::string& export_text(uint32_t id);

    const std::string path_;
    const int file_fd_, wake_fd_;
    const uint64_t start_ns_;  // CLOCK_MONOTONIC
    std::mutex mutex_;
    std::vector<std::unique_ptr<TraceRing>> rings_;  // guarded by mutex_; only added to
    std::map<std::string, uint32_t> export_ids_;     // guarded by mutex_
    std::vector<std::string> export_texts_;          // guarded by mutex_; escaped, by id
    std::vector<std::string> known_texts_;           // of the writer alone: a copy of these
    bool broken_ = false;  // of the writer alone: the file cannot be written
    std::atomic<bool> stop_{false};
    std::thread writer_;
};

}  // namespace hyper::watch
