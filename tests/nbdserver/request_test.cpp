// SPDX-License-Identifier: Apache-2.0
// Requests off the wire, what is refused of them, and the heads of their replies.
#include "blockengine/writable_file.h"
#include "nbdserver/request.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "nbdserver/reply.h"
#include "tests/support/support.h"

namespace hyper::nbd {
namespace {

constexpr uint64_t disk_bytes = 64 << 20;
constexpr uint64_t cookie = 0x0123456789abcdef, offset = 0x1122334455667788;

class RequestTest : public testing::Test {
  protected:
    void SetUp() override {
        test::write_file(scratch_.path("disk"), Bytes(1));
        std::filesystem::resize_file(scratch_.path("disk"), disk_bytes);
        auto file = WritableFile::open(scratch_.path("disk"), test::engine().io());
        ASSERT_TRUE(file);
        auto exported = std::make_shared<Export>();
        exported->source = std::make_shared<FileSource>((*file)->file());
        read_only_ = exported;
        exported = std::make_shared<Export>(*exported);
        exported->writable = *file;
        writable_ = exported;
    }
    int check(uint16_t type, uint16_t flags, uint64_t at, uint64_t length, bool writing = true,
              Mode mode = Mode::structured) const {
        Session session{writing ? writable_ : read_only_, mode, {}};
        if (with_contexts_) session.contexts.push_back({1, allocation_context(writable_->source)});
        return check_request({flags, type, cookie, at, length, 0}, session);
    }

    bool with_contexts_ = true;

  private:
    test::ScratchDir scratch_;
    std::shared_ptr<const Export> read_only_, writable_;
};

constexpr uint16_t all_ranged[] = {CMD_READ,  CMD_WRITE,        CMD_TRIM,
                                   CMD_CACHE, CMD_WRITE_ZEROES, CMD_BLOCK_STATUS};
constexpr uint16_t all_writing[] = {CMD_WRITE, CMD_TRIM, CMD_WRITE_ZEROES};

TEST(Request, is_parsed_from_a_compact_header) {
    CompactRequest wire{magic_request, FLAG_DF, CMD_READ, cookie, offset, 0x99887766};
    for (Mode mode : {Mode::simple, Mode::structured}) {
        ASSERT_EQ(request_header_bytes(mode), 28u);
        auto request = parse_request(bytes_of(wire), mode);
        ASSERT_TRUE(request);
        EXPECT_EQ(request->flags, FLAG_DF);
        EXPECT_EQ(request->type, CMD_READ);
        EXPECT_EQ(request->cookie, cookie);
        EXPECT_EQ(request->offset, offset);
        EXPECT_EQ(request->length, 0x99887766u);
        EXPECT_EQ(request->payload_bytes, 0u);
    }
}

TEST(Request, is_parsed_from_an_extended_header) {
    ExtendedRequest wire{magic_extended_request, FLAG_NO_HOLE, CMD_WRITE_ZEROES, cookie, offset,
                         0x9988776655443322};
    ASSERT_EQ(request_header_bytes(Mode::extended), 32u);
    auto request = parse_request(bytes_of(wire), Mode::extended);
    ASSERT_TRUE(request);
    EXPECT_EQ(request->flags, FLAG_NO_HOLE);
    EXPECT_EQ(request->type, CMD_WRITE_ZEROES);
    EXPECT_EQ(request->cookie, cookie);
    EXPECT_EQ(request->offset, offset);
    EXPECT_EQ(request->length, 0x9988776655443322u);
    EXPECT_EQ(request->payload_bytes, 0u);
}

TEST(Request, with_the_magic_of_another_mode_is_none) {
    EXPECT_FALSE(
        parse_request(bytes_of(ExtendedRequest{magic_request, 0, 0, 0, 0, 0}), Mode::extended));
    EXPECT_FALSE(parse_request(bytes_of(CompactRequest{magic_extended_request, 0, 0, 0, 0, 0}),
                               Mode::structured));
}

TEST(Request, has_a_payload_if_it_writes_or_says_so_with_extended_headers) {
    auto compact = [](uint16_t type, uint16_t flags) {
        return parse_request(bytes_of(CompactRequest{magic_request, flags, type, 0, 0, 512}),
                             Mode::structured)
            ->payload_bytes;
    };
    auto extended = [](uint16_t type, uint16_t flags) {
        return parse_request(
                   bytes_of(ExtendedRequest{magic_extended_request, flags, type, 0, 0, 512}),
                   Mode::extended)
            ->payload_bytes;
    };
    for (uint16_t type = 0; type < 20; ++type) {
        EXPECT_EQ(compact(type, 0), type == CMD_WRITE ? 512u : 0u) << type;
        EXPECT_EQ(compact(type, FLAG_PAYLOAD_LEN), type == CMD_WRITE ? 512u : 0u) << type;
        EXPECT_EQ(extended(type, 0), type == CMD_WRITE ? 512u : 0u) << type;
        EXPECT_EQ(extended(type, FLAG_PAYLOAD_LEN), 512u) << type;
    }
}

TEST_F(RequestTest, flags_are_allowed_for_their_commands_only) {
    struct {
        uint16_t type;
        unsigned flags;
    } allowed[] = {{CMD_READ, FLAG_DF},
                   {CMD_WRITE, 0},
                   {CMD_TRIM, 0},
                   {CMD_CACHE, 0},
                   {CMD_WRITE_ZEROES, FLAG_NO_HOLE | FLAG_FAST_ZERO},
                   {CMD_BLOCK_STATUS, FLAG_REQ_ONE}};
    for (auto [type, flags] : allowed)
        for (unsigned bit = 0; bit < 16; ++bit) {
            auto flag = static_cast<uint16_t>(1u << bit);
            int wanted = flag == FLAG_FUA || (flags & flag) != 0 ? 0 : EINVAL;
            EXPECT_EQ(check(type, flag, 0, 512), wanted) << type << " " << flag;
        }
}

TEST_F(RequestTest, flags_depend_on_the_mode) {
    EXPECT_EQ(check(CMD_READ, FLAG_DF, 0, 512, true, Mode::simple), EINVAL);
    EXPECT_EQ(check(CMD_READ, FLAG_DF, 0, 512, true, Mode::extended), 0);
    EXPECT_EQ(check(CMD_WRITE, FLAG_PAYLOAD_LEN, 0, 512, true, Mode::extended), 0);
    EXPECT_EQ(check(CMD_READ, FLAG_PAYLOAD_LEN, 0, 512, true, Mode::extended), EINVAL);
}

TEST_F(RequestTest, what_cannot_be_written_takes_no_writing_commands) {
    for (uint16_t type : all_writing) EXPECT_EQ(check(type, 0, 0, 512, false), EPERM) << type;
    EXPECT_EQ(check(CMD_READ, FLAG_FUA, 0, 512, false), EINVAL);
    EXPECT_EQ(check(CMD_FLUSH, 0, 0, 0, false), EINVAL);
    EXPECT_EQ(check(CMD_READ, 0, 0, 512, false), 0);
}

TEST_F(RequestTest, ranges_lie_within_the_disk) {
    for (uint16_t type : all_ranged) {
        int outside = type == CMD_WRITE || type == CMD_WRITE_ZEROES ? ENOSPC : EINVAL;
        EXPECT_EQ(check(type, 0, disk_bytes - 512, 512), 0) << type;
        EXPECT_EQ(check(type, 0, disk_bytes - 512, 513), outside) << type;
        EXPECT_EQ(check(type, 0, disk_bytes, 1), outside) << type;
        EXPECT_EQ(check(type, 0, UINT64_MAX, 1), outside) << type;
        EXPECT_EQ(check(type, 0, UINT64_MAX - 511, 1024), outside) << type;
        EXPECT_EQ(check(type, 0, 0, 0), EINVAL) << type;
    }
}

TEST_F(RequestTest, data_is_bounded_but_effects_are_not) {
    for (uint16_t type : all_ranged) {
        bool data = type == CMD_READ || type == CMD_WRITE;
        EXPECT_EQ(check(type, 0, 0, payload_bytes_max), 0) << type;
        EXPECT_EQ(check(type, 0, 0, uint64_t{payload_bytes_max} + 1), data ? EINVAL : 0) << type;
    }
}

TEST_F(RequestTest, a_flush_is_about_everything) {
    EXPECT_EQ(check(CMD_FLUSH, 0, 0, 0), 0);
    EXPECT_EQ(check(CMD_FLUSH, 0, 512, 0), EINVAL);
    EXPECT_EQ(check(CMD_FLUSH, 0, 0, 512), EINVAL);
}

TEST_F(RequestTest, block_status_needs_a_context) {
    with_contexts_ = false;
    EXPECT_EQ(check(CMD_BLOCK_STATUS, 0, 0, 512), EINVAL);
}

TEST_F(RequestTest, unknown_commands_are_invalid) {
    for (uint16_t type : std::initializer_list<uint16_t>{8, 9, 1000, 65535})
        EXPECT_EQ(check(type, 0, 0, 512), EINVAL) << type;
}

// --- heads of replies ---

const Request asked{0, CMD_READ, cookie, offset, 4096, 0};

Bytes bytes_of_head(const ReplyHead& head) {
    return {head.bytes().begin(), head.bytes().end()};
}

template <class... Wires>
Bytes wires(const Wires&... parts) {
    Bytes all;
    auto add = [&](std::span<const std::byte> bytes) {
        all.insert(all.end(), bytes.begin(), bytes.end());
    };
    (add(bytes_of(parts)), ...);
    return all;
}

TEST(ReplyHead, of_simple_replies_has_error_and_cookie) {
    EXPECT_EQ(bytes_of_head(data_head(Mode::simple, asked, 512, 100, true)),
              wires(SimpleReply{magic_simple_reply, 0, cookie}));
    EXPECT_EQ(bytes_of_head(status_head(Mode::simple, asked, 0)),
              wires(SimpleReply{magic_simple_reply, 0, cookie}));
    EXPECT_EQ(bytes_of_head(status_head(Mode::simple, asked, EIO)),
              wires(SimpleReply{magic_simple_reply, 5, cookie}));
}

TEST(ReplyHead, of_data_counts_its_offset_as_payload) {
    EXPECT_EQ(
        bytes_of_head(data_head(Mode::structured, asked, 512, 100, true)),
        wires(ChunkHeader{magic_chunk, chunk_done, CHUNK_OFFSET_DATA, cookie, 108}, be64(512)));
    EXPECT_EQ(
        bytes_of_head(data_head(Mode::extended, asked, 512, 100, false)),
        wires(ExtendedChunkHeader{magic_extended_chunk, 0, CHUNK_OFFSET_DATA, cookie, offset, 108},
              be64(512)));
}

TEST(ReplyHead, of_a_hole_has_offset_and_length) {
    EXPECT_EQ(bytes_of_head(hole_head(Mode::structured, asked, 512, 0x80000000, false)),
              wires(ChunkHeader{magic_chunk, 0, CHUNK_OFFSET_HOLE, cookie, 12}, be64(512),
                    be32(0x80000000)));
    EXPECT_EQ(bytes_of_head(hole_head(Mode::extended, asked, 512, 9, true)),
              wires(ExtendedChunkHeader{magic_extended_chunk, chunk_done, CHUNK_OFFSET_HOLE, cookie,
                                        offset, 12},
                    be64(512), be32(9)));
}

TEST(ReplyHead, of_success_without_data_has_no_payload) {
    EXPECT_EQ(bytes_of_head(status_head(Mode::structured, asked, 0)),
              wires(ChunkHeader{magic_chunk, chunk_done, CHUNK_NONE, cookie, 0}));
    EXPECT_EQ(bytes_of_head(status_head(Mode::extended, asked, 0)),
              wires(ExtendedChunkHeader{magic_extended_chunk, chunk_done, CHUNK_NONE, cookie,
                                        offset, 0}));
}

TEST(ReplyHead, of_an_error_has_its_number_and_no_message) {
    EXPECT_EQ(
        bytes_of_head(status_head(Mode::structured, asked, EACCES)),
        wires(ChunkHeader{magic_chunk, chunk_done, CHUNK_ERROR, cookie, 6}, be32(1), be16(0)));
    EXPECT_EQ(
        bytes_of_head(status_head(Mode::extended, asked, EINVAL)),
        wires(ExtendedChunkHeader{magic_extended_chunk, chunk_done, CHUNK_ERROR, cookie, offset, 6},
              be32(22), be16(0)));
}

TEST(ReplyHead, of_a_failed_part_says_where_it_is) {
    EXPECT_EQ(bytes_of_head(read_error_head(Mode::structured, asked, 4096, EIO, false)),
              wires(ChunkHeader{magic_chunk, 0, CHUNK_ERROR_OFFSET, cookie, 14}, be32(5), be16(0),
                    be64(4096)));
}

TEST(WireError, is_one_that_clients_know) {
    for (int known : {EPERM, EIO, ENOMEM, EINVAL, ENOSPC, EOVERFLOW, ENOTSUP, ESHUTDOWN})
        EXPECT_EQ(wire_error(known), static_cast<uint32_t>(known));
    EXPECT_EQ(wire_error(EDQUOT), static_cast<uint32_t>(ENOSPC));
    EXPECT_EQ(wire_error(EROFS), static_cast<uint32_t>(EPERM));
    for (int unknown : {EAGAIN, ENOENT, EBADF, ESTALE})
        EXPECT_EQ(wire_error(unknown), static_cast<uint32_t>(EIO));
}

}  // namespace
}  // namespace hyper::nbd
