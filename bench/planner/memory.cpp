// SPDX-License-Identifier: Apache-2.0
#include "bench/planner/memory.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace {

size_t held, at_first, most;

}  // namespace

void* operator new(size_t size) {
    void* made = std::malloc(size);
    if (!made) std::abort();
    held += malloc_usable_size(made);
    most = std::max(most, held);
    return made;
}

void operator delete(void* made) noexcept {
    held -= malloc_usable_size(made);
    std::free(made);
}

void operator delete(void* made, size_t) noexcept {
    operator delete(made);
}

// The library's own of these call those above, a sanitizer's do not.
void* operator new(size_t size, const std::nothrow_t&) noexcept {
    return operator new(size);
}

void* operator new[](size_t size) {
    return operator new(size);
}

void operator delete[](void* made) noexcept {
    operator delete(made);
}

void operator delete[](void* made, size_t) noexcept {
    operator delete(made);
}

namespace hyper::figures {

void count_from_here() {
    at_first = most = held;
}

size_t bytes_held_max() {
    return most - at_first;
}

}  // namespace hyper::figures
