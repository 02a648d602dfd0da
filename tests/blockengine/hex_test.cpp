// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/hex.h"

#include <gtest/gtest.h>

#include <array>

namespace hyper {
namespace {

using Two = std::array<std::byte, 2>;

TEST(Hex, writes_two_digits_a_byte) {
    EXPECT_EQ(hex(Two{std::byte{0x0a}, std::byte{0xf0}}), "0af0");
    EXPECT_EQ(hex({}), "");
}

TEST(Hex, reads_what_it_writes_and_capitals) {
    for (const char* text : {"0af0", "0AF0"}) {
        Two bytes{};
        EXPECT_TRUE(parse_hex(text, bytes)) << text;
        EXPECT_EQ(hex(bytes), "0af0");
    }
}

TEST(Hex, reads_nothing_else) {
    for (const char* text : {"", "0af", "0af00", "0xf0", "0a-1", "0a+1", "0a 1", "0agg"}) {
        Two bytes{};
        EXPECT_FALSE(parse_hex(text, bytes)) << text;
    }
}

}  // namespace
}  // namespace hyper
