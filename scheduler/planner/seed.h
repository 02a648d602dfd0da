// SPDX-License-Identifier: Apache-2.0
// Choices that look random and are the same on every machine.
#pragma once

#include <cstdint>
#include <string_view>

namespace hyper::scheduler {

// SplitMix64's finalizer (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014).
constexpr uint64_t mix(uint64_t value) {
    value += 0x9e3779b97f4a7c15;
    value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
    value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
    return value ^ (value >> 31);
}

// FNV-1a, 64 bits (Fowler, Noll, Vo).
constexpr uint64_t hash_text(std::string_view text) {
    uint64_t hash = 0xcbf29ce484222325;
    for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
    return hash;
}

}  // namespace hyper::scheduler
