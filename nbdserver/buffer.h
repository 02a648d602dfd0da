// SPDX-License-Identifier: Apache-2.0
// Memory for the data of requests, used again and again, since fresh memory costs page faults.
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdlib>
#include <span>
#include <utility>
#include <vector>

namespace hyper::nbd {

class Buffer;

// Bound to one thread, as are its buffers (but others may fill them). Outlives them.
class BufferPool {
  public:
    static constexpr size_t kept_bytes_max = 32 << 20;

    ~BufferPool() {
        for (auto& shelf : shelves_)
            for (void* memory : shelf) std::free(memory);
    }
    Buffer take(size_t bytes);
    size_t used_bytes() const { return used_bytes_; }

  private:
    friend class Buffer;
    static constexpr size_t smallest_bytes = 4096;

    void put(std::byte* memory, size_t capacity) {
        used_bytes_ -= capacity;
        if (kept_bytes_ + capacity > kept_bytes_max) return std::free(memory);
        kept_bytes_ += capacity;
        shelf_of(capacity).push_back(memory);
    }
    std::vector<void*>& shelf_of(size_t capacity) { return shelves_[static_cast<size_t>(std::countr_zero(capacity))]; }

    std::array<std::vector<void*>, 64> shelves_;  // by the logarithm of the capacity; the last used is taken first
    size_t used_bytes_ = 0, kept_bytes_ = 0;
};

// Owns its memory until it goes back to the pool. Empty by default.
class Buffer {
  public:
    Buffer() = default;
    Buffer(Buffer&& other) noexcept { swap(other); }
    Buffer& operator=(Buffer&& other) noexcept {
        swap(other);
        return *this;
    }
    ~Buffer() {
        if (memory_ != nullptr) pool_->put(memory_, capacity_);
    }

    std::byte* data() const { return memory_; }
    size_t capacity() const { return capacity_; }
    explicit operator bool() const { return memory_ != nullptr; }

  private:
    friend class BufferPool;
    void swap(Buffer& other) {
        std::swap(memory_, other.memory_);
        std::swap(capacity_, other.capacity_);
        std::swap(pool_, other.pool_);
    }

    std::byte* memory_ = nullptr;
    size_t capacity_ = 0;
    BufferPool* pool_ = nullptr;
};

inline Buffer BufferPool::take(size_t bytes) {
    size_t capacity = std::bit_ceil(bytes < smallest_bytes ? smallest_bytes : bytes);
    auto& shelf = shelf_of(capacity);
    void* memory;
    if (shelf.empty()) {
        memory = std::aligned_alloc(smallest_bytes, capacity);
        if (memory == nullptr) std::abort();
    } else {
        memory = shelf.back();
        shelf.pop_back();
        kept_bytes_ -= capacity;
    }
    used_bytes_ += capacity;
    Buffer buffer;
    buffer.memory_ = static_cast<std::byte*>(memory);
    buffer.capacity_ = capacity;
    buffer.pool_ = this;
    return buffer;
}

}  // namespace hyper::nbd
