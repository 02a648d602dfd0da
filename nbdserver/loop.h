// SPDX-License-Identifier: Apache-2.0
// An event loop: a thread with a ring, and the connections that were given to it.
//
// Design note. A turn of the loop waits for completions, which parse requests and queue reads; submits those, so that what
// the page cache has is there at once; and then sends, each connection's replies together. Nothing in it waits for
// a disk: maps and reads are tried under NoWait, and what would wait goes to the workers. Writes go to the page cache from
// within the loop while that takes them at once (see Transmission).
//
// To sleep and to be woken takes longer than to answer a small read. So after a turn with a single request the loop looks for the next
// one for a moment, giving way to whoever wants the processor, before it sleeps; where that is in vain it tries less and less often.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "blockengine/engine.h"
#include "blockengine/ring.h"
#include "nbdserver/buffer.h"
#include "nbdserver/pipe.h"
#include "nbdserver/watch/trace.h"
#include "nbdserver/workers.h"

namespace hyper::nbd {

class Connection;

// Bound to the thread that runs it, but for post() and stop().
class Loop {
  public:
    // Data of requests that a loop's connections hold together, beyond what each may hold in any case.
    static constexpr size_t in_flight_bytes_max = 128 << 20;

    // `engine`, `workers` and `trace`, where there is one, outlive the loop.
    static Result<std::unique_ptr<Loop>> make(Engine& engine, Workers& workers, watch::TraceRing* trace);
    ~Loop();

    // Until stop() was called and every connection is gone.
    void run();
    // Closes all connections and ends run(). Thread-safe.
    void stop();
    // Has `work` done by the loop's thread. Thread-safe.
    void post(std::function<void()> work);

    // Connections without TLS begin no request from now on; `rested` is called with each that has come to rest. Until
    // resume().
    void pause(std::function<void(Connection&)> rested);
    void resume();
    bool pausing() const { return rested_ != nullptr; }
    void rested(Connection& connection) { rested_(connection); }

    void add(std::shared_ptr<Connection> connection);
    const std::unordered_map<Connection*, std::shared_ptr<Connection>>& connections() const { return connections_; }

    // For connections.
    Ring& ring() { return *ring_; }
    Engine& engine() { return engine_; }
    Workers& workers() { return workers_; }
    BufferPool& buffers() { return buffers_; }
    PipePool& pipes() { return pipes_; }
    PieceList& scratch() { return scratch_; }
    // nullptr where nothing is traced.
    watch::TraceRing* trace() { return trace_; }
    // Monotonic time, as of this turn.
    uint64_t now_ns() const { return now_ns_; }
    // Completes `owner` so much later; `deadline` is its own.
    void wake_after(Completion& owner, Ring::Deadline& deadline, uint64_t nanoseconds);
    // The connection has something to send or to go on with, at the end of this turn.
    void later(Connection& connection);
    // The connection waits for memory that other connections hold.
    void wait_for_memory(Connection& connection);
    // The connection has ended; it is gone at the end of this turn.
    void remove(Connection& connection);
    // A connection has begun a request.
    void begun() { ++begun_; }
    // Whether somebody waits for memory.
    bool short_of_memory() const { return !waiting_.empty(); }

  private:
    Loop(Engine& engine, Workers& workers, watch::TraceRing* trace, std::unique_ptr<Ring> ring, int event_fd);
    void finish_turn();
    bool look_for_more();
    void watch_events();
    void watch_clock();

    struct Events : Completion {
        Loop& loop;
        explicit Events(Loop& owner) : loop(owner) {}
        void completed(int result, uint32_t flags) override;
    };
    struct Clock : Completion {
        Loop& loop;
        Ring::Deadline deadline{};
        explicit Clock(Loop& owner) : loop(owner) {}
        void completed(int result, uint32_t flags) override;
    };

    Engine& engine_;
    Workers& workers_;
    watch::TraceRing* const trace_;
    BufferPool buffers_;
    PipePool pipes_;
    PieceList scratch_;
    std::unique_ptr<Ring> ring_;
    const int event_fd_;
    Events events_{*this};
    Clock clock_{*this};
    uint64_t now_ns_ = 0;
    unsigned begun_ = 0;  // requests, in this turn
    // How many times not to look before the next look, after the last was in vain; how many of them are left.
    unsigned pause_ = 0, pause_left_ = 0;
    bool stopping_ = false;
    std::function<void(Connection&)> rested_;
    std::unordered_map<Connection*, std::shared_ptr<Connection>> connections_;
    std::vector<Connection*> dirty_, gone_;
    std::deque<Connection*> waiting_;

    std::mutex mutex_;
    std::vector<std::function<void()>> posted_;  // guarded by mutex_
};

}  // namespace hyper::nbd
