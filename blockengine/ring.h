// SPDX-License-Identifier: Apache-2.0
// io_uring for an event loop: operations go in together, and each completion finds its owner.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "blockengine/base/result.h"

struct io_uring_sqe;

namespace hyper {

// Whoever waits for an operation. It must stay where it is until `completed` was called for each operation that was
// started with it.
class Completion {
  public:
    virtual ~Completion() = default;
    // `result` as of the system call: a count, or a negative errno. `flags` is for Ring::received() and more_to_come().
    virtual void completed(int result, uint32_t flags) = 0;
};

// Bound to the thread that calls start(), and from then on all the rest. Operations are queued; submit() hands them to the
// kernel.
class Ring {
  public:
    // What one receive() can bring, and how many such buffers all sockets of the ring share. Few and large: a large write comes
    // in one piece, and who finds no buffer waits for the next.
    static constexpr size_t receive_bytes_max = 256 << 10;
    static constexpr unsigned receive_buffers = 32;

    // Errors: what io_uring_setup(2) gives where the kernel is older than 5.19, or a sandbox forbids it.
    static Result<std::unique_ptr<Ring>> make();
    ~Ring();
    Ring(const Ring&) = delete;
    Ring& operator=(const Ring&) = delete;

    // The calling thread is the one that runs the ring from now on.
    void start();

    // The buffer must stay valid until the completion.
    void read(Completion& owner, int fd, std::span<std::byte> buffer, uint64_t offset);
    // One message, into a shared buffer: received() finds it. -ENOBUFS when all are in use.
    void receive(Completion& owner, int fd);
    // Completes for each new connection with its descriptor (close-on-exec), while more_to_come().
    void accept_many(Completion& owner, int fd);
    void poll(Completion& owner, int fd, short events);
    // `deadline` is monotonic time, and must stay valid until the completion.
    struct Deadline {
        int64_t seconds;
        long long nanoseconds;
    };
    void wait_until(Completion& owner, Deadline& deadline);
    // The operations of `target` end with -ECANCELED, or as they would have; `target` hears of each as ever.
    void cancel(Completion& target);

    // A buffer that a receive() filled, to be given back.
    struct Received {
        unsigned buffer;
        std::span<std::byte> bytes;
    };
    static bool has_buffer(uint32_t flags);
    Received received(int result, uint32_t flags) const;
    void give_back(unsigned buffer);

    static bool more_to_come(uint32_t flags);

    // Submits what was queued; with `wait`, returns when there is a completion. Operations that can be done at once,
    // as reads of cached data, are done on return.
    void submit(bool wait);
    // Hands out the completions that are there.
    void dispatch();
    // Whether something waits to be submitted.
    bool queued() const;
    // Whether there is a completion that was not handed out.
    bool ready() const;

  private:
    struct State;
    explicit Ring(std::unique_ptr<State> state);
    io_uring_sqe* entry(Completion* owner);

    std::unique_ptr<State> state_;
};

}  // namespace hyper
