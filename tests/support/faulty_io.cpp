// SPDX-License-Identifier: Apache-2.0
#include "tests/support/faulty_io.h"

#include <algorithm>

namespace hyper::test {

void FaultyIo::fail(Operation kind, uint64_t nth, Fault fault) {
    std::lock_guard lock(mutex_);
    plan(kind).once.push_back({plan(kind).count + nth, fault});
}

void FaultyIo::fail_randomly(Operation kind, double probability, uint64_t seed, Fault fault) {
    std::lock_guard lock(mutex_);
    plan(kind).probability = probability;
    plan(kind).random_fault = fault;
    plan(kind).random.seed(seed);
}

void FaultyIo::set_room(uint64_t bytes) {
    std::lock_guard lock(mutex_);
    room_bytes_ = bytes;
}

void FaultyIo::crash() {
    std::lock_guard lock(mutex_);
    crashed_ = true;
}

void FaultyIo::heal() {
    std::lock_guard lock(mutex_);
    crashed_ = false;
    room_bytes_ = unlimited;
    for (Plan& each : plans_) {
        each.once.clear();
        each.probability = 0;
    }
}

bool FaultyIo::crashed() const {
    std::lock_guard lock(mutex_);
    return crashed_;
}

uint64_t FaultyIo::count(Operation kind) const {
    std::lock_guard lock(mutex_);
    return plan(kind).count;
}

bool FaultyIo::pending() const {
    std::lock_guard lock(mutex_);
    return std::ranges::any_of(plans_, [](const Plan& each) { return !each.once.empty(); });
}

FaultyIo::Outcome FaultyIo::decide(Operation kind, size_t bytes) {
    std::lock_guard lock(mutex_);
    Plan& mine = plan(kind);
    uint64_t number = mine.count++;
    if (crashed_) return {0, EIO};
    Outcome outcome{bytes, 0};
    auto planned = std::ranges::find(mine.once, number, &Planned::number);
    if (planned != mine.once.end()) {
        outcome = {std::min(bytes, planned->fault.bytes_moved), planned->fault.error};
        crashed_ = planned->fault.crash;
        mine.once.erase(planned);
    } else if (mine.probability > 0 && std::bernoulli_distribution(mine.probability)(mine.random)) {
        outcome = {std::uniform_int_distribution<size_t>(0, bytes)(mine.random), mine.random_fault.error};
        crashed_ = mine.random_fault.crash;
    }
    if (kind == Operation::write && room_bytes_ != unlimited) {
        if (outcome.bytes > room_bytes_) outcome = {room_bytes_, ENOSPC};
        room_bytes_ -= outcome.bytes;
    }
    return outcome;
}

template <class Op>
std::vector<FaultyIo::Outcome> FaultyIo::decide_all(Operation kind, std::span<Op> ops, std::vector<Op>& allowed) {
    std::vector<Outcome> outcomes;
    for (Op& op : ops) {
        outcomes.push_back(decide(kind, op.buffer.size()));
        allowed.push_back({op.fd, op.offset, op.buffer.first(outcomes.back().bytes), 0});
    }
    return outcomes;
}

void FaultyIo::read(std::span<ReadOp> ops) {
    std::vector<ReadOp> allowed;
    auto outcomes = decide_all(Operation::read, ops, allowed);
    PassingIo::read(allowed);
    for (size_t i = 0; i < ops.size(); ++i)
        ops[i].error = outcomes[i].error != 0 ? outcomes[i].error : allowed[i].error;
}

void FaultyIo::write(std::span<WriteOp> ops) {
    std::vector<WriteOp> allowed;
    auto outcomes = decide_all(Operation::write, ops, allowed);
    PassingIo::write(allowed);
    for (size_t i = 0; i < ops.size(); ++i)
        ops[i].error = outcomes[i].error != 0 ? outcomes[i].error : allowed[i].error;
}

int FaultyIo::sync(int fd) {
    int error = decide(Operation::sync, 0).error;
    return error != 0 ? error : PassingIo::sync(fd);
}

}  // namespace hyper::test
