// SPDX-License-Identifier: Apache-2.0
#include "blockengine/codec.h"

#include <libdeflate.h>
#include <zstd.h>

#include <random>

#include "tests/support/support.h"

namespace hyper {
namespace {

std::vector<std::byte> text(size_t count) {
    std::vector<std::byte> bytes(count);
    for (size_t i = 0; i < count; ++i) bytes[i] = static_cast<std::byte>("the quick brown fox "[i % 20]);
    return bytes;
}

std::vector<std::byte> packed(Codec codec, std::span<const std::byte> bytes) {
    std::vector<std::byte> out(bytes.size() + 1000);
    size_t size = bytes.size();
    if (codec == Codec::plain) {
        std::copy(bytes.begin(), bytes.end(), out.begin());
    } else if (codec == Codec::zstd) {
        size = ZSTD_compress(out.data(), out.size(), bytes.data(), bytes.size(), 3);
    } else {
        auto compress = codec == Codec::zlib ? libdeflate_zlib_compress : libdeflate_deflate_compress;
        auto* compressor = libdeflate_alloc_compressor(6);
        size = compress(compressor, bytes.data(), bytes.size(), out.data(), out.size());
        libdeflate_free_compressor(compressor);
    }
    out.resize(size);
    return out;
}

class EveryCodec : public testing::TestWithParam<Codec> {};

TEST_P(EveryCodec, stops_when_the_unit_is_full_and_ignores_what_follows) {
    auto bytes = text(65536);
    auto stored = packed(GetParam(), bytes);
    stored.insert(stored.end(), 511, std::byte{0xee});
    std::vector<std::byte> out(bytes.size());
    auto result = unpack(GetParam(), stored, out);
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(out, bytes);
}

TEST_P(EveryCodec, refuses_a_stream_that_is_cut_short) {
    auto stored = packed(GetParam(), text(65536));
    std::vector<std::byte> out(65536);
    for (size_t keep : {size_t{0}, size_t{1}, stored.size() / 2, stored.size() - 5})
        EXPECT_FALSE(unpack(GetParam(), std::span(stored).first(keep), out)) << keep;
}

TEST_P(EveryCodec, refuses_a_stream_that_gives_too_little) {
    auto stored = packed(GetParam(), text(65535));
    std::vector<std::byte> out(65536);
    EXPECT_FALSE(unpack(GetParam(), stored, out));
}

INSTANTIATE_TEST_SUITE_P(Codec, EveryCodec, testing::Values(Codec::deflate, Codec::zlib, Codec::zstd, Codec::plain));

TEST(Pack, unpacks_to_what_it_was) {
    auto bytes = text(65536);
    std::vector<std::byte> stored(bytes.size() / 8 * 7), out(bytes.size());
    for (int level : {1, 3, 19}) {
        auto used = pack(Codec::zstd, level, bytes, stored);
        ASSERT_TRUE(used) << level;
        EXPECT_LT(*used, 1000u);
        ASSERT_TRUE(unpack(Codec::zstd, std::span(stored).first(*used), out));
        EXPECT_EQ(out, bytes);
        std::fill(out.begin(), out.end(), std::byte{0});
    }
}

TEST(Pack, says_nothing_where_it_does_not_fit) {
    std::mt19937_64 random(1);
    std::vector<std::byte> bytes(65536), stored(bytes.size() / 8 * 7);
    for (std::byte& byte : bytes) byte = static_cast<std::byte>(random());
    EXPECT_FALSE(pack(Codec::zstd, 3, bytes, stored));
    auto packs_well = text(65536);
    auto used = pack(Codec::zstd, 3, packs_well, stored);
    ASSERT_TRUE(used);
    EXPECT_FALSE(pack(Codec::zstd, 3, packs_well, std::span(stored).first(*used - 1)));
}

}  // namespace
}  // namespace hyper
