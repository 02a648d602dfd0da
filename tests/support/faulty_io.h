// SPDX-License-Identifier: Apache-2.0
// Io with faults, for tests of what lies above the seam of blockengine/io.h.
#pragma once

#include <array>
#include <mutex>
#include <random>
#include <vector>

#include "blockengine/io.h"

namespace hyper::test {

// Hands everything on to a real Io: to be derived from.
class PassingIo : public Io {
  public:
    explicit PassingIo(std::unique_ptr<Io> inner = make_pread_io()) : inner_(std::move(inner)) {}
    void read(std::span<ReadOp> ops) override { inner_->read(ops); }
    void write(std::span<WriteOp> ops) override { inner_->write(ops); }
    int sync(int fd) override { return inner_->sync(fd); }
    std::string_view name() const override { return inner_->name(); }

  private:
    std::unique_ptr<Io> inner_;
};

// What happens to one operation: that many of its first bytes are moved all the same (a short read, a torn write), then it
// ends with `error`. After a crash everything fails with EIO, and nothing is written any more.
struct Fault {
    int error = EIO;
    size_t bytes_moved = 0;
    bool crash = false;
};

enum class Operation { read, write, sync };

// Thread-safe. Faults are planned before they happen, each happens once. Operations are counted from 0; each of a batch
// counts. Other operations of the batch of a crash are done where they came before it.
class FaultyIo : public PassingIo {
  public:
    using PassingIo::PassingIo;

    // The operation `nth` of this kind from now (0: the next).
    void fail(Operation kind, uint64_t nth, Fault fault = {});
    // Every operation of this kind from now on, with this probability; the seed decides which, and how many bytes move
    // before (any number up to all). Probability 0 ends it.
    void fail_randomly(Operation kind, double probability, uint64_t seed, Fault fault = {});
    // So many bytes can still be written, then ENOSPC. `unlimited` ends it.
    static constexpr uint64_t unlimited = UINT64_MAX;
    void set_room(uint64_t bytes);
    // From now on everything fails.
    void crash();
    // From now on nothing fails: no crash, no plans, room for all.
    void heal();

    bool crashed() const;
    // How many operations of this kind there were, crashed ones too.
    uint64_t count(Operation kind) const;
    // Whether a fault that was planned by fail() is still to come.
    bool pending() const;

    void read(std::span<ReadOp> ops) override;
    void write(std::span<WriteOp> ops) override;
    int sync(int fd) override;

  private:
    struct Planned {
        uint64_t number;
        Fault fault;
    };
    struct Plan {
        uint64_t count = 0;
        std::vector<Planned> once;
        double probability = 0;
        Fault random_fault;
        std::mt19937_64 random;
    };
    // What becomes of an operation: bytes that move, and the error after them (0: none).
    struct Outcome {
        size_t bytes;
        int error;
    };
    Outcome decide(Operation kind, size_t bytes);
    template <class Op>
    std::vector<Outcome> decide_all(Operation kind, std::span<Op> ops, std::vector<Op>& allowed);
    Plan& plan(Operation kind) { return plans_[static_cast<size_t>(kind)]; }
    const Plan& plan(Operation kind) const { return plans_[static_cast<size_t>(kind)]; }

    mutable std::mutex mutex_;
    std::array<Plan, 3> plans_;         // guarded by mutex_
    uint64_t room_bytes_ = unlimited;   // guarded by mutex_
    bool crashed_ = false;              // guarded by mutex_
};

}  // namespace hyper::test
