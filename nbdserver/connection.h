// SPDX-License-Identifier: Apache-2.0
// One client's connection: its socket, its two phases, and what is still to be sent.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>

#include "blockengine/ring.h"
#include "nbdserver/export.h"
#include "nbdserver/handshake.h"
#include "nbdserver/loop.h"
#include "nbdserver/output.h"
#include "nbdserver/transmission.h"

namespace hyper::nbd {

// Bound to its loop's thread. It lives until it was closed and nothing that it started is under way.
class Connection {
  public:
    static constexpr uint64_t handshake_seconds_max = 10;
    // How long a client may take no byte while others wait for the memory that its replies hold.
    static constexpr uint64_t stall_seconds_max = 30;

    // Takes over `fd`. `peer` is for messages; `directory` is what this client may see.
    Connection(Loop& loop, int fd, std::string peer, std::shared_ptr<Directory> directory);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    const std::string& peer() const { return peer_; }

    // For the loop.
    void start();
    void close();
    void finish_turn();
    void check_deadlines();
    bool set_dirty() { return !std::exchange(dirty_, true); }

    // For the transmission phase.
    Loop& loop() { return loop_; }
    Output& output() { return output_; }
    // Whether replies may be handed to the socket as a file's own pages.
    bool may_splice() const { return true; }
    // Between them something is under way that will call back.
    void hold() { ++holds_; }
    void release();

  private:
    struct Receive : Completion {
        Connection& connection;
        explicit Receive(Connection& owner) : connection(owner) {}
        void completed(int result, uint32_t flags) override { connection.received(result, flags); }
    };
    struct Writable : Completion {
        Connection& connection;
        explicit Writable(Connection& owner) : connection(owner) {}
        void completed(int, uint32_t) override { connection.writable(); }
    };

    void received(int result, uint32_t flags);
    void writable();
    void consume(std::span<const std::byte> input);
    void haggle(std::span<const std::byte>& input);
    void act(Handshake::Want want);
    void answer_list(std::vector<Listed> exports);
    void answer_open(Result<std::shared_ptr<const Export>> exported);
    void flush();
    void receive_more();

    Loop& loop_;
    const int fd_;
    const std::string peer_;
    const std::shared_ptr<Directory> directory_;
    const uint64_t since_ns_;
    Receive receive_{*this};
    Writable writable_{*this};
    Handshake handshake_;
    std::optional<Transmission> transmission_;
    Output output_;
    Bytes stash_;           // input that could not be taken yet
    unsigned holds_ = 0;
    uint64_t blocked_since_ns_ = 0;  // 0: the socket takes what we send
    bool receiving_ = false, dirty_ = false, answering_ = false, input_ended_ = false, closed_ = false, removed_ = false;
};

}  // namespace hyper::nbd
