// SPDX-License-Identifier: Apache-2.0
#include "blockengine/ring.h"

#include <liburing.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstdlib>

namespace hyper {

namespace {

constexpr unsigned entries = 256, completions = 4096;
constexpr int buffer_group = 0;

// seccomp does not see what a ring does, so the ring itself takes nothing but what is started here.
int restrict_operations(io_uring& ring) {
    constexpr uint8_t operations[] = {IORING_OP_READ,     IORING_OP_RECV,    IORING_OP_ACCEPT,
                                      IORING_OP_POLL_ADD, IORING_OP_TIMEOUT, IORING_OP_ASYNC_CANCEL};
    std::array<io_uring_restriction, std::size(operations) + 2> rules{};
    size_t count = 0;
    for (uint8_t operation : operations) {
        rules[count].opcode = IORING_RESTRICTION_SQE_OP;
        rules[count++].sqe_op = operation;
    }
    rules[count].opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED;
    rules[count++].sqe_flags = IOSQE_BUFFER_SELECT;
    rules[count].opcode = IORING_RESTRICTION_REGISTER_OP;
    rules[count++].register_op = IORING_REGISTER_ENABLE_RINGS;
    // liburing 2.3 declares a function for it, but does not have it.
    return io_uring_register(static_cast<unsigned>(ring.ring_fd), IORING_REGISTER_RESTRICTIONS, rules.data(),
                             static_cast<unsigned>(count));
}

}  // namespace

struct Ring::State {
    io_uring ring{};
    io_uring_buf_ring* buffer_ring = nullptr;
    std::byte* buffers = nullptr;

    ~State() {
        if (ring.ring_fd > 0) io_uring_queue_exit(&ring);
        if (buffer_ring != nullptr) ::munmap(buffer_ring, ring_bytes);
        if (buffers != nullptr) ::munmap(buffers, buffers_bytes);
    }

    static constexpr size_t ring_bytes = receive_buffers * sizeof(io_uring_buf);
    static constexpr size_t buffers_bytes = receive_buffers * receive_bytes_max;
};

Ring::Ring(std::unique_ptr<State> state) : state_(std::move(state)) {}
Ring::~Ring() = default;

Result<std::unique_ptr<Ring>> Ring::make() {
    auto state = std::make_unique<State>();
    io_uring_params params{};
    params.cq_entries = completions;
    // Kernels from 6.1 on do the loop's work only when the loop asks for it, which saves interrupts.
    params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN;
    int error = io_uring_queue_init_params(entries, &state->ring, &params);
    if (error == -EINVAL) {
        params = {};
        params.cq_entries = completions;
        params.flags = IORING_SETUP_CQSIZE | IORING_SETUP_R_DISABLED;
        error = io_uring_queue_init_params(entries, &state->ring, &params);
    }
    if (error < 0) {
        state->ring.ring_fd = -1;
        return fail(-error, "io_uring: {} (it is forbidden here, or the kernel is older than 5.19)", errno_text(-error));
    }
    auto map = [](size_t bytes) {
        void* memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
        return memory == MAP_FAILED ? nullptr : memory;
    };
    auto* ring_memory = static_cast<io_uring_buf_ring*>(map(State::ring_bytes));
    state->buffers = static_cast<std::byte*>(map(State::buffers_bytes));
    if (ring_memory == nullptr || state->buffers == nullptr) return fail(ENOMEM, "memory for receiving");
    io_uring_buf_reg registration{};
    registration.ring_addr = reinterpret_cast<uint64_t>(ring_memory);
    registration.ring_entries = receive_buffers;
    registration.bgid = buffer_group;
    error = io_uring_register_buf_ring(&state->ring, &registration, 0);
    if (error < 0) return fail(-error, "io_uring: shared receive buffers: {}", errno_text(-error));
    state->buffer_ring = ring_memory;
    error = restrict_operations(state->ring);
    if (error < 0) return fail(-error, "io_uring: restricting it: {}", errno_text(-error));
    io_uring_buf_ring_init(ring_memory);
    std::unique_ptr<Ring> ring(new Ring(std::move(state)));
    for (unsigned i = 0; i < receive_buffers; ++i) ring->give_back(i);
    return ring;
}

void Ring::start() {
    // liburing 2.3 declares io_uring_enable_rings(), but does not have it.
    int error = io_uring_register(static_cast<unsigned>(state_->ring.ring_fd), IORING_REGISTER_ENABLE_RINGS, nullptr, 0);
    if (error < 0) std::abort();  // it was started before: our own mistake
}

io_uring_sqe* Ring::entry(Completion* owner) {
    io_uring_sqe* free = io_uring_get_sqe(&state_->ring);
    while (free == nullptr) {
        io_uring_submit(&state_->ring);
        free = io_uring_get_sqe(&state_->ring);
    }
    io_uring_sqe_set_data(free, owner);
    return free;
}

// Preparing an entry clears its flags but not its user data, in every version of liburing.
void Ring::read(Completion& owner, int fd, std::span<std::byte> buffer, uint64_t offset) {
    io_uring_prep_read(entry(&owner), fd, buffer.data(), static_cast<unsigned>(buffer.size()), offset);
}

void Ring::receive(Completion& owner, int fd) {
    io_uring_sqe* sqe = entry(&owner);
    io_uring_prep_recv(sqe, fd, nullptr, receive_bytes_max, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = buffer_group;
}

void Ring::accept_many(Completion& owner, int fd) {
    io_uring_prep_multishot_accept(entry(&owner), fd, nullptr, nullptr, SOCK_CLOEXEC);
}

void Ring::poll(Completion& owner, int fd, short events) {
    io_uring_prep_poll_add(entry(&owner), fd, static_cast<unsigned>(events));
}

void Ring::wait_until(Completion& owner, Deadline& deadline) {
    static_assert(sizeof(Deadline) == sizeof(__kernel_timespec));
    io_uring_prep_timeout(entry(&owner), reinterpret_cast<__kernel_timespec*>(&deadline), 0, IORING_TIMEOUT_ABS);
}

void Ring::cancel(Completion& target) {
    io_uring_prep_cancel(entry(nullptr), &target, IORING_ASYNC_CANCEL_ALL);
}

bool Ring::queued() const { return io_uring_sq_ready(&state_->ring) > 0; }
bool Ring::ready() const { return io_uring_cq_ready(&state_->ring) > 0; }
bool Ring::has_buffer(uint32_t flags) { return (flags & IORING_CQE_F_BUFFER) != 0; }
bool Ring::more_to_come(uint32_t flags) { return (flags & IORING_CQE_F_MORE) != 0; }

Ring::Received Ring::received(int result, uint32_t flags) const {
    unsigned buffer = flags >> IORING_CQE_BUFFER_SHIFT;
    return {buffer, {state_->buffers + buffer * receive_bytes_max, static_cast<size_t>(result)}};
}

void Ring::give_back(unsigned buffer) {
    io_uring_buf_ring_add(state_->buffer_ring, state_->buffers + buffer * receive_bytes_max, receive_bytes_max,
                          static_cast<unsigned short>(buffer), io_uring_buf_ring_mask(receive_buffers), 0);
    io_uring_buf_ring_advance(state_->buffer_ring, 1);
}

void Ring::submit(bool wait) {
    int submitted = wait ? io_uring_submit_and_wait(&state_->ring, 1) : io_uring_submit_and_get_events(&state_->ring);
    if (submitted < 0 && submitted != -EINTR && submitted != -EAGAIN && submitted != -EBUSY)
        std::abort();  // the kernel rejects the ring itself: buffers in flight cannot be taken back
}

void Ring::dispatch() {
    io_uring_cqe* done;
    while (io_uring_peek_cqe(&state_->ring, &done) == 0) {
        auto* owner = static_cast<Completion*>(io_uring_cqe_get_data(done));
        int result = done->res;
        uint32_t flags = done->flags;
        io_uring_cqe_seen(&state_->ring, done);
        if (owner != nullptr) owner->completed(result, flags);
    }
}

}  // namespace hyper
