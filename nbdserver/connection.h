// SPDX-License-Identifier: Apache-2.0
// One client's connection: its socket, TLS where it is spoken, the two phases, and what is still to be sent.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "blockengine/base/unique_fd.h"
#include "blockengine/ring.h"
#include "nbdserver/door.h"
#include "nbdserver/handshake.h"
#include "nbdserver/loop.h"
#include "nbdserver/output.h"
#include "nbdserver/transmission.h"
#include "nbdserver/watch/registry.h"
#include "nbdserver/watch/trace.h"

namespace hyper::nbd {

// What the connections of a server have in common; outlives them. `trace` may be nullptr.
struct Watchers {
    watch::Registry registry;
    watch::Trace* trace = nullptr;
};

// A connection that has come to rest, with all that another server needs to go on with it.
struct Resting {
    UniqueFd fd;  // a descriptor of its own
    Session session;
    Bytes unread;
    std::function<void()> let_go;  // the other server has it. Thread-safe
};

// Bound to its loop's thread. It lives until it was closed and nothing that it started is under way.
class Connection : public std::enable_shared_from_this<Connection> {
  public:
    // How long a client may take no byte while others wait for the memory that its replies hold.
    static constexpr uint64_t stall_seconds_max = 30;

    Connection(Loop& loop, Watchers& watchers, std::shared_ptr<const Door> door, UniqueFd fd, Peer peer);
    // A connection that another server has brought as far as the transmission phase.
    Connection(Loop& loop, Watchers& watchers, std::shared_ptr<const Door> door, UniqueFd fd, Peer peer, const Session& session,
               Bytes unread);
    ~Connection();
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;

    // For the loop.
    void start();
    void close();
    void finish_turn();
    void check_deadlines();
    void pause();
    void resume();
    // For one that has come to rest. Errors: no descriptor is left.
    Result<Resting> rest();
    bool set_dirty() { return !std::exchange(dirty_, true); }

    // For the transmission phase.
    Loop& loop() { return loop_; }
    Output& output() { return output_; }
    // No request is begun, since the connection is to go to another server. One with TLS stays, and one whose disk does.
    bool pausing() const { return tls_ == nullptr && loop_.pausing() && (!transmission_ || transmission_->session().exported->movable); }
    // Whether replies may be handed to the socket as a file's own pages.
    bool may_splice() const { return tls_ == nullptr; }
    // Nobody waits for what is still to be done. Thread-safe.
    bool closed() const { return closed_; }
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
    void take_ciphertext(std::span<const std::byte> input);
    void consume(std::span<const std::byte> input);
    void haggle(std::span<const std::byte>& input);
    void act(Handshake::Want want);
    void start_tls();
    void finish_tls_handshake();
    void transmit(const Session& session);
    bool at_rest() const;
    void let_go();
    void answer_list(std::vector<Listed> exports);
    void answer_open(Result<std::shared_ptr<const Export>> exported);
    Output::Sent send_sealed();
    Output::Sent seal_and_send();
    void flush();
    void receive_more();
    void end_input();

    Loop& loop_;
    Watchers& watchers_;
    const std::shared_ptr<const Door> door_;
    const UniqueFd fd_;
    Peer peer_;
    const uint64_t since_ns_;
    const uint64_t handshake_ns_max_;
    const std::shared_ptr<const TlsCredentials> credentials_;
    std::shared_ptr<Directory> directory_;  // nullptr until the client is known
    Receive receive_{*this};
    Writable writable_{*this};
    Handshake handshake_;
    std::unique_ptr<TlsSession> tls_;
    bool tls_established_ = false;
    std::optional<Session> adopted_;  // what start() goes on with
    std::optional<Transmission> transmission_;

    Output output_;
    Buffer sealed_;  // ciphertext that is being sent: [sealed_sent_, sealed_end_)
    size_t sealed_sent_ = 0, sealed_end_ = 0;
    Bytes alerts_;  // TLS's own words, that go out first
    std::vector<std::span<const std::byte>> spans_;

    Bytes stash_;             // plain input that could not be taken yet
    Bytes stashed_ciphertext_;  // what came behind it
    unsigned holds_ = 0;
    uint64_t blocked_since_ns_ = 0;  // 0: the socket takes what we send
    bool receiving_ = false, dirty_ = false, answering_ = false, input_ended_ = false, removed_ = false,
         resting_ = false;
    std::atomic<bool> closed_ = false;
};

}  // namespace hyper::nbd
