// SPDX-License-Identifier: Apache-2.0
// Pipes through which cached pages of a file go to a socket without being copied (splice(2)).
#pragma once

#include <fcntl.h>
#include <unistd.h>

#include <utility>
#include <vector>

namespace hyper::nbd {

// Owns both ends. Empty by default.
class Pipe {
  public:
    Pipe() = default;
    Pipe(Pipe&& other) noexcept { swap(other); }
    Pipe& operator=(Pipe&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Pipe() {
        if (ends_[0] >= 0) {
            ::close(ends_[0]);
            ::close(ends_[1]);
        }
    }

    // Empty where no pipe of this capacity is to be had (they are limited for each user).
    static Pipe make(int capacity_bytes) {
        Pipe pipe;
        if (::pipe2(pipe.ends_, O_CLOEXEC | O_NONBLOCK) != 0) {
            pipe.ends_[0] = pipe.ends_[1] = -1;
            return pipe;
        }
        if (::fcntl(pipe.ends_[0], F_SETPIPE_SZ, capacity_bytes) < capacity_bytes) return {};
        return pipe;
    }

    explicit operator bool() const { return ends_[0] >= 0; }
    int read_end() const { return ends_[0]; }
    int write_end() const { return ends_[1]; }

  private:
    void swap(Pipe& other) {
        std::swap(ends_[0], other.ends_[0]);
        std::swap(ends_[1], other.ends_[1]);
    }
    int ends_[2] = {-1, -1};
};

// Pipes that are empty, to be used again. Bound to one thread.
class PipePool {
  public:
    static constexpr int capacity_bytes = 512 << 10;
    static constexpr size_t pipes_max = 32;

    Pipe take() {
        if (!idle_.empty()) {
            Pipe pipe = std::move(idle_.back());
            idle_.pop_back();
            return pipe;
        }
        if (made_ == pipes_max) return {};
        Pipe pipe = Pipe::make(capacity_bytes);
        // Who may not have more pipes is not asked again.
        made_ = pipe ? made_ + 1 : pipes_max;
        return pipe;
    }
    void put(Pipe pipe) { idle_.push_back(std::move(pipe)); }
    // For a pipe that was destroyed instead of being put back.
    void forget() { --made_; }

  private:
    std::vector<Pipe> idle_;
    size_t made_ = 0;
};

}  // namespace hyper::nbd
