// SPDX-License-Identifier: Apache-2.0
// What waits to be sent on one connection.
#pragma once

#include <cstdint>
#include <deque>
#include <vector>

#include "nbdserver/buffer.h"
#include "nbdserver/handshake.h"
#include "nbdserver/pipe.h"
#include "nbdserver/reply.h"

namespace hyper::nbd {

// A head and its data, which are in a buffer, in a pipe, or not there. `charge` is what it counts as bytes in flight.
struct OutItem {
    ReplyHead head;
    Buffer body{};
    Pipe pipe{};
    uint32_t body_bytes = 0;
    uint32_t charge = 0;
};

// Bound to one thread.
class Output {
  public:
    explicit Output(PipePool& pipes) : pipes_(pipes) {}
    ~Output();
    Output(const Output&) = delete;
    Output& operator=(const Output&) = delete;

    void add(OutItem item) { items_.push_back(std::move(item)); }
    void add(const ReplyHead& head) { items_.push_back({.head = head}); }
    // Bytes of the handshake, which go out as they are.
    void add_raw(std::span<const std::byte> bytes) { raw_.insert(raw_.end(), bytes.begin(), bytes.end()); }

    bool empty() const { return items_.empty() && raw_.empty(); }
    size_t items() const { return items_.size(); }
    size_t raw_bytes() const { return raw_.size(); }

    enum class Sent { all, blocked, broken };
    // Sends what the socket takes now.
    Sent flush(int fd);

    // What would leave next, of at most `bytes_max` bytes, in spans of which there are at most `spans_max`: for who seals it
    // instead of sending it. Not for items with pipes.
    size_t front(std::vector<std::span<const std::byte>>& spans, size_t spans_max, size_t bytes_max) const;
    // So many bytes of it have left.
    void consume(size_t bytes);

    // The charges of what has left since the last call.
    uint64_t take_released() { return std::exchange(released_, 0); }

  private:
    static constexpr size_t vectors_max = 256;

    enum class Step { progress, blocked, broken };
    Step send_buffers(int fd);
    Step send_pipe(int fd);
    void drop(OutItem& item);
    void pop();

    PipePool& pipes_;
    Bytes raw_;
    std::vector<std::span<const std::byte>> spans_;
    std::deque<OutItem> items_;
    size_t sent_ = 0;  // bytes of the first item that have left
    uint64_t released_ = 0;
};

}  // namespace hyper::nbd
