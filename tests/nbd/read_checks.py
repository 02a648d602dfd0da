# SPDX-License-Identifier: Apache-2.0
"""Checks of NBD_CMD_READ, CACHE and FLUSH, and of requests that may not be, in each mode.

Left open, as the specification does: the result of a READ of no bytes, and whether a READ above the maximum is refused or
answered in several chunks."""
import random

from server import check, in_modes
from transmission import (BLOCK_STATUS, CACHE, DF, EINVAL, EOVERFLOW, EPERM, ENOSPC, FAST_ZERO, FLUSH, FUA, NO_HOLE,
                          PAYLOAD_LEN, READ, REQ_ONE, RESIZE, TRIM, WRITE_ZEROES, Request, read, write)
from wire import READ_ONLY, SEND_CACHE, SEND_DF, SEND_FLUSH, SEND_FUA, LeftOut, NotOffered, expect


def sample(server, draw, longest):
    """An (offset, length) within the export."""
    offset = server.aligned(draw.randrange(server.size))
    length = server.aligned(draw.randrange(1, longest + 1)) or server.minimum
    return offset, min(length, server.size - offset)


def not_offered(server, what):
    """Of no use where nothing can be written."""
    kind = LeftOut if server.flags & READ_ONLY else NotOffered
    raise kind(f"the server does not offer {what}")


@in_modes()
def reads_give_the_bytes_of_the_disk(server, mode):
    draw = random.Random(3)
    with server.enter(mode) as transmission:
        for longest in 4096, 65536, 1 << 20:
            for _ in range(40):
                offset, length = sample(server, draw, min(longest, server.payload_bytes_max))
                server.matches(offset, transmission.reads(offset, length))


@in_modes()
def the_first_and_the_last_byte_can_be_read(server, mode):
    with server.enter(mode) as transmission:
        for length in server.minimum, min(server.size, max(4096, server.minimum)):
            server.matches(0, transmission.reads(0, length))
            server.matches(server.size - length, transmission.reads(server.size - length, length))


@in_modes()
def the_largest_read_is_answered(server, mode):
    largest = min(server.size, server.payload_bytes_max, 1 << 26)
    with server.enter(mode) as transmission:
        server.matches(0, transmission.reads(0, largest))
        server.matches(server.size - largest, transmission.reads(server.size - largest, largest))


@in_modes()
def a_read_above_the_maximum_is_refused_or_right(server, mode):
    if not server.block_sizes or server.size <= server.payload_bytes_max:
        raise LeftOut("no maximum is told, or the export is smaller")
    with server.enter(mode) as transmission:
        reply = transmission.one(read(0, server.payload_bytes_max + server.minimum))
        expect(reply.error in (0, EINVAL, EOVERFLOW), "error", reply.error)
        if not reply.error:
            server.matches(0, reply.data)
        server.matches(0, transmission.reads(0, 512))


@in_modes()
def a_read_past_the_end_is_invalid(server, mode):
    size, least = server.size, server.minimum
    with server.enter(mode) as transmission:
        for offset, length in (size, least), (size - least, 2 * least), (0, size + least), (size + 4096, 4096), \
                (2**63, 512), (2**63 - 512, 512), (2**64 - 512, 512), (2**64 - 512, 1024), (2**64 - 1, 1), (2**64 - 4096, 8192):
            if length < 2**32:
                transmission.fails(read(offset, length), EINVAL)
        server.matches(0, transmission.reads(0, min(size, max(512, least))))


@in_modes()
def a_read_of_no_bytes_does_not_end_the_connection(server, mode):
    with server.enter(mode) as transmission:
        for offset in 0, server.aligned(server.size // 2), server.size, 2**64 - 1:
            transmission.one(read(offset, 0))
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@in_modes()
def a_read_that_is_not_aligned_is_invalid_where_a_minimum_was_told(server, mode):
    if server.minimum == 1:
        raise LeftOut("every byte can be addressed")
    with server.enter(mode) as transmission:
        for offset, length in (1, server.minimum), (0, server.minimum - 1), (0, server.minimum + 1):
            transmission.fails(read(offset, length), EINVAL)


@in_modes("structured", "extended")
def df_gives_one_content_chunk(server, mode):
    draw = random.Random(4)
    with server.enter(mode) as transmission:
        if not transmission.flags & SEND_DF:
            raise NotOffered("the server does not offer DF")
        for _ in range(50):
            offset, length = sample(server, draw, 65536)
            server.matches(offset, transmission.reads(offset, length, DF))
        reply = transmission.one(read(0, min(server.size, server.payload_bytes_max), DF))
        expect(reply.error in (0, EOVERFLOW), "a long read with DF ends in", reply.error)


@in_modes("simple")
def df_without_structured_replies_is_invalid(server, mode):
    with server.enter(mode) as transmission:
        transmission.fails(read(0, min(server.size, max(512, server.minimum)), DF), EINVAL)


@in_modes()
def fua_is_accepted_with_all_commands_where_it_was_offered(server, mode):
    with server.enter(mode) as transmission:
        if not transmission.flags & SEND_FUA:
            not_offered(server, "FUA")
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum)), FUA))
        if transmission.flags & SEND_FLUSH:
            transmission.succeeds(Request(FLUSH, flags=FUA))


@in_modes()
def unknown_command_flags_are_invalid(server, mode):
    """Also those of other commands; the connection goes on, and what may have a payload has it skipped."""
    wrong = [NO_HOLE, REQ_ONE, FAST_ZERO, NO_HOLE | FAST_ZERO] + [1 << bit for bit in range(6, 16)] + [0xFFC0]
    length = min(server.size, max(512, server.minimum))
    with server.enter(mode) as transmission:
        for flags in wrong:
            transmission.fails(read(0, length, flags), EINVAL)
        if mode != "extended":
            transmission.fails(read(0, length, PAYLOAD_LEN), EINVAL)
        if transmission.flags & SEND_FLUSH:
            for flags in wrong:
                transmission.fails(Request(FLUSH, flags=flags), EINVAL)
        server.matches(0, transmission.reads(0, length))


@in_modes()
def unknown_commands_are_invalid_and_have_no_payload(server, mode):
    length = min(server.size, max(512, server.minimum))
    with server.enter(mode) as transmission:
        for command in RESIZE, 9, 10, 100, 255, 256, 0x7FFF, 0x8000, 0xFFFF:
            for offset, claimed in (0, 0), (0, length), (7, 0xFFFFFFFF), (2**64 - 1, 1):
                transmission.fails(Request(command, offset, claimed), EINVAL)
            transmission.fails(Request(command, 0, length, flags=0xFFFF & ~PAYLOAD_LEN), EINVAL)
        server.matches(0, transmission.reads(0, length))


@in_modes()
def flush_succeeds_where_it_was_offered(server, mode):
    with server.enter(mode) as transmission:
        if not transmission.flags & SEND_FLUSH:
            transmission.fails(Request(FLUSH), EINVAL, EPERM)
            not_offered(server, "FLUSH")
        transmission.succeeds(Request(FLUSH))
        for offset, length in (0, 512), (512, 0), (2**64 - 1, 2**32 - 1):  # reserved: zero
            expect(transmission.one(Request(FLUSH, offset, length)).error in (0, EINVAL), "neither done nor invalid")
        transmission.succeeds(Request(FLUSH))


@in_modes()
def cache_changes_nothing_and_refuses_unknown_flags(server, mode):
    length = min(server.size, 1 << 20)
    with server.enter(mode) as transmission:
        offered = transmission.flags & SEND_CACHE
        for offset, count in (0, length), (server.size - server.minimum, server.minimum):
            reply = transmission.one(Request(CACHE, offset, count))
            expect(reply.error == 0 or not offered or reply.error == EINVAL, "error", reply.error)
        for flags in NO_HOLE, DF, REQ_ONE, FAST_ZERO, 1 << 15:
            transmission.fails(Request(CACHE, 0, length, flags), EINVAL)
        for offset, count in (server.size, server.minimum), (2**64 - 1, 1), (2**64 - 512, 1024):
            expect(transmission.one(Request(CACHE, offset, count)).error, "CACHE past the end succeeds")
        if server.size > 2**32:
            transmission.one(Request(CACHE, 0, 2**32 - server.minimum))
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@in_modes()
def a_read_only_export_refuses_to_be_changed(server, mode):
    if not server.flags & READ_ONLY:
        raise LeftOut("the export is writable")
    length = min(server.size, max(4096, server.minimum))
    with server.enter(mode) as transmission:
        for flags in 0, FUA if transmission.flags & SEND_FUA else 0:
            transmission.fails(write(0, b"x" * length, flags), EPERM)
            for command in TRIM, WRITE_ZEROES:
                transmission.fails(Request(command, 0, length, flags), EPERM, EINVAL)
        transmission.fails(write(server.size, b"x" * 4096), EPERM, ENOSPC)
        transmission.fails(write(2**64 - 1, b"x"), EPERM, ENOSPC, EINVAL)
        server.matches(0, transmission.reads(0, length))


@in_modes()
def block_status_without_a_context_is_invalid(server, mode):
    with server.enter(mode) as transmission:
        transmission.fails(Request(BLOCK_STATUS, 0, min(server.size, 1 << 20)), EINVAL)
        transmission.fails(Request(BLOCK_STATUS, 0, min(server.size, 1 << 20), REQ_ONE), EINVAL)


@in_modes("extended")
def lengths_of_64_bits_past_the_end_are_refused(server, mode):
    with server.enter(mode) as transmission:
        for length in server.size + server.minimum, 2**32 + 512, 2**63, 2**64 - 512, 2**64 - 1:
            if length > server.size:
                transmission.fails(read(0, length), EINVAL, EOVERFLOW)
                transmission.fails(read(server.minimum, length), EINVAL, EOVERFLOW)
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@in_modes("extended")
def a_payload_that_nobody_expects_is_skipped(server, mode):
    with server.enter(mode) as transmission:
        for command in READ, FLUSH, CACHE, TRIM, WRITE_ZEROES, RESIZE, 99:
            for size in 1, 8, 512, 65536:
                transmission.fails(Request(command, 0, size, PAYLOAD_LEN, b"\x25" * size), EINVAL, EPERM)
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@in_modes("extended")
def a_payload_above_the_maximum_ends_the_connection(server, mode):
    for size in 2**32, 2**40, 2**63, 2**64 - 1:
        with server.enter(mode) as transmission:
            data = transmission.encode(Request(READ, 0, size, PAYLOAD_LEN))
            transmission.connection.send_if_it_lives(data + bytes(1000))
            transmission.connection.expect_end()


@check
def a_second_connection_reads_the_same(server):
    with server.enter("simple") as first, server.enter("structured") as second:
        length = min(server.size, 65536)
        expect(first.reads(0, length) == second.reads(0, length), "it does not")
