// SPDX-License-Identifier: Apache-2.0
// One connection to an NBD server, which is made anew when it broke.
#pragma once

#include <libnbd.h>

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "providers/provider.h"

namespace hyper::nbd {

struct Server {
    std::string uri, shown;              // with and without what is not to be shown
    std::vector<std::string> contexts;  // to be asked for besides base:allocation
    std::vector<std::string> command{};  // starts a server of our own for each connection, by systemd's socket activation; none: it is there
};

struct Facts {
    uint64_t size_bytes = 0;
    uint64_t request_bytes_min = 1, request_bytes_max = 32 << 20;
    bool multi_conn = false;
    std::vector<std::string> contexts;  // that the server has, of those asked for
    bool operator==(const Facts&) const = default;
};

// Thread-safe. A thread of its own is the only one that touches libnbd's handle; others queue.
class Line {
  public:
    using Status = std::function<void(provider::Outcome<std::vector<hyper_extent>>)>;
    // The flags of a context's extents as a provider tells them.
    using Translate = uint32_t (*)(uint32_t flags);

    // `expected`: what the server must be like, if it was there before; another is a snapshot that is gone.
    Line(Server server, std::optional<Facts> expected);
    // What is queued or under way ends in errors.
    ~Line();
    Line(const Line&) = delete;
    Line& operator=(const Line&) = delete;

    // Waits for the first connection.
    provider::Outcome<Facts> connected(const hyper_call& call);
    // Whether it was connected once: a request waits for no first handshake, and for no connection that the server does not let in.
    bool was_connected() const { return was_connected_; }
    void read(hyper_read& read);
    // `told` is called once, with at most `room` extents of the context.
    void status(const std::string& context, Translate translate, uint64_t offset, uint64_t length, size_t room, Status told);

  private:
    struct Request;

    void run();
    provider::Outcome<void> connect();
    bool begin_connecting();
    bool turn(int timeout_ms);  // false: the connection broke
    void send(Request& request);
    void hang_up(const provider::Failure& failure);
    void leave();
    void end(Request& request, const provider::Failure* failure);
    provider::Failure last_failure(const char* what) const;
    provider::Failure connect_failure() const;
    static int on_done(void* opaque, int* error);
    static int on_extents(void* opaque, const char* context, uint64_t offset, uint32_t* entries, size_t count, int* error);

    const Server server_;
    // Of the thread alone.
    std::optional<Facts> facts_;
    nbd_handle* nbd_ = nullptr;
    std::vector<std::unique_ptr<Request>> under_way_;

    int wake_fd_;
    std::mutex mutex_;
    std::vector<std::unique_ptr<Request>> queue_;               // guarded by mutex_
    bool stopping_ = false;                                     // guarded by mutex_
    std::optional<provider::Outcome<Facts>> first_connection_;  // guarded by mutex_
    std::atomic<bool> was_connected_ = false;
    std::thread thread_;
};

int64_t now_ns();

}  // namespace hyper::nbd
