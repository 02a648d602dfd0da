// SPDX-License-Identifier: Apache-2.0
// Who is connected, to what, and what was counted for them.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "nbdserver/watch/stats.h"

namespace hyper::watch {

using WallTime = std::chrono::system_clock::time_point;

// What is known of a client when it has chosen an export.
struct ClientInfo {
    std::string peer;      // "unix pid 17 uid 1000", "192.0.2.1:50000"
    std::string identity;  // certificate name, PSK identity or uid; empty for nobody in particular
    std::string export_name;
    bool tls = false;
    bool writable = false;
};

// Plain values, as they were at one moment.
struct ClientSnapshot {
    uint64_t id = 0;
    ClientInfo info;
    WallTime since;
    uint64_t bytes_in_flight = 0;
    Statistics statistics;
};
struct ExportSnapshot {
    std::string name;
    uint64_t number = 0;   // exports are numbered as they are first opened
    uint64_t clients = 0;  // that are open now
    Statistics statistics;
};

class Registry;

// One open client; destroying it takes it off the registry, which outlives it. count() and
// set_bytes_in_flight() are for one thread at a time, that of the client's event loop; they neither
// lock nor allocate.
class OpenClient {
  public:
    ~OpenClient();
    OpenClient(const OpenClient&) = delete;
    OpenClient& operator=(const OpenClient&) = delete;

    // For the client and for its export.
    void count(Command command, uint64_t bytes, uint64_t latency_ns, bool failed) {
        counters_.count(command, bytes, latency_ns, failed);
        export_counters_.count(command, bytes, latency_ns, failed);
    }
    void set_bytes_in_flight(uint64_t bytes) {
        bytes_in_flight_.store(bytes, std::memory_order_relaxed);
    }
    // Never given twice by a registry; the first is 1.
    uint64_t id() const { return id_; }

  private:
    friend class Registry;
    OpenClient(Registry& registry, uint64_t id, ClientInfo info, Counters& export_counters,
               std::function<void()> close)
        : registry_(registry),
          id_(id),
          info_(std::move(info)),
          export_counters_(export_counters),
          close_(std::move(close)) {}

    Registry& registry_;
    const uint64_t id_;
    const ClientInfo info_;
    const WallTime since_ = std::chrono::system_clock::now();
    Counters counters_{Counters::Writers::one};
    Counters& export_counters_;
    std::atomic<uint64_t> bytes_in_flight_{0};
    const std::function<void()> close_;
};

// Thread-safe.
class Registry {
  public:
    // So many exports have counters of their own; what comes then is counted under `others_name`
    // together.
    static constexpr size_t exports_max = 4096;
    static constexpr const char* others_name = "(others)";

    // `close` asks for the client's end and returns at once: it is called by any thread while the
    // registry is locked, so it must neither destroy the OpenClient itself nor call the registry.
    // It is not called once the OpenClient is gone.
    std::unique_ptr<OpenClient> add_client(ClientInfo info, std::function<void()> close);

    // By id, rising.
    std::vector<ClientSnapshot> clients() const;
    // By name. Every export that a client has opened since the process started, open or not.
    std::vector<ExportSnapshot> exports() const;

    // Whether there was such a client.
    bool close_client(uint64_t id);
    // How many were asked to end.
    size_t close_clients_of(const std::string& export_name);

    uint64_t clients_since_start() const;
    WallTime started() const { return started_; }

  private:
    friend class OpenClient;
    void remove(uint64_t id);
    struct OpenedExport {
        explicit OpenedExport(uint64_t order) : number(order) {}
        uint64_t number;
        Counters counters{Counters::Writers::many};
    };
    Counters& counters_of(const std::string& export_name);

    const WallTime started_ = std::chrono::system_clock::now();
    mutable std::mutex mutex_;
    uint64_t last_id_ = 0;                         // guarded by mutex_
    std::map<uint64_t, OpenClient*> clients_;      // guarded by mutex_; by id
    std::map<std::string, OpenedExport> exports_;  // guarded by mutex_; entries stay where they are
};

}  // namespace hyper::watch
