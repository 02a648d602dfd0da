# SPDX-License-Identifier: Apache-2.0
"""Checks of NBD_CMD_BLOCK_STATUS.

Left open, as the specification does: how much of the range a reply describes beyond its first extent, the result for no
bytes, whether 32-bit status chunks are used with extended headers, and whether a payload that limits the contexts is
offered."""
import struct

from server import in_modes
from transmission import (BLOCK_STATUS, DF, EINVAL, FAST_ZERO, NO_HOLE, PAYLOAD_LEN, REQ_ONE, STATE_ZERO, Request, read)
from wire import BLOCK_STATUS_PAYLOAD, OPT_LIST_META_CONTEXT, READ_ONLY, LeftOut, expect

ALLOCATION = ["base:allocation"]


def status(offset, length, flags=0):
    return Request(BLOCK_STATUS, offset, length, flags)


def longest(server, transmission):
    """The longest request that the header can say."""
    length = server.size if transmission.mode == "extended" else min(server.size, 2**32 - 1)
    return server.aligned(length)


def extents_of(transmission, request):
    """The extents of the only context."""
    reply = transmission.succeeds(request)
    return next(iter(reply.status.values()))


def zero_parts(server, offset, extents):
    """Checks that extents told as zero are; of a long one, its first, last and some bytes between."""
    for length, state in extents:
        if state & STATE_ZERO:
            parts = [(0, length)] if length <= 1 << 20 else [(at, 4096) for at in (0, length // 3, length - 4096)]
            for at, part in parts:
                data = server.content(offset + at, part)
                expect(data.count(0) == len(data), "what is told to be zero is not, at", offset + at)
        offset += length


@in_modes("structured", "extended")
def the_whole_disk_can_be_walked_by_block_status(server, mode):
    with server.enter(mode, ALLOCATION) as transmission:
        offset = count = 0
        while offset < server.size and count < 20000:
            asked = min(longest(server, transmission), server.size - offset)
            extents = extents_of(transmission, status(offset, asked))
            zero_parts(server, offset, extents)
            for length, _ in extents:
                expect(length % server.minimum == 0, "an extent of", length, "bytes")
            offset += sum(length for length, _ in extents)
            count += len(extents)


@in_modes("structured", "extended")
def req_one_gives_one_extent_within_the_request(server, mode):
    with server.enter(mode, ALLOCATION) as transmission:
        offset = 0
        for asked in (server.minimum, 512, 4096, 65536, 1 << 20, 1 << 30, 2**32 - 1) * 10:
            asked = min(max(server.aligned(asked), server.minimum), server.size - offset)
            extents = extents_of(transmission, status(offset, asked, REQ_ONE))
            zero_parts(server, offset, extents)
            offset += extents[0][0]
            if offset == server.size:
                break


@in_modes("structured", "extended")
def ranges_in_the_middle_have_their_status(server, mode):
    with server.enter(mode, ALLOCATION) as transmission:
        for part in range(1, 40):
            offset = server.aligned(server.size * part // 41)
            for asked in server.minimum, 1000, 65536, 10 << 20:
                asked = min(max(server.aligned(asked), server.minimum), server.size - offset)
                zero_parts(server, offset, extents_of(transmission, status(offset, asked)))


@in_modes("structured", "extended")
def the_longest_block_status_is_answered(server, mode):
    with server.enter(mode, ALLOCATION) as transmission:
        for flags in 0, REQ_ONE:
            extents = extents_of(transmission, status(0, longest(server, transmission), flags))
            zero_parts(server, 0, extents)
        last = server.size - server.minimum
        expect(extents_of(transmission, status(last, server.minimum))[0][0] == server.minimum, "the last bytes")


@in_modes("structured", "extended")
def block_status_past_the_end_is_invalid(server, mode):
    with server.enter(mode, ALLOCATION) as transmission:
        wrong = [(server.size, server.minimum), (2**63, 512), (2**64 - 512, 1024), (2**64 - 1, 1),
                 (server.size - server.minimum, 2 * server.minimum)]
        if mode == "extended":
            wrong += [(0, 2**64 - 1), (0, server.size + server.minimum), (server.size, 2**63), (2**63, 2**63)]
        for offset, length in wrong:
            for flags in 0, REQ_ONE:
                transmission.fails(status(offset, length, flags), EINVAL)
        extents_of(transmission, status(0, server.minimum))


@in_modes("structured", "extended")
def block_status_of_no_bytes_does_not_end_the_connection(server, mode):
    """Its result is open, so a success is not judged by its extents."""
    with server.enter(mode, ALLOCATION) as transmission:
        request = status(0, 0)
        request.effect_length = 2**64 - 1
        transmission.one(request)
        extents_of(transmission, status(0, server.minimum))


@in_modes("structured", "extended")
def block_status_refuses_unknown_flags(server, mode):
    with server.enter(mode, ALLOCATION) as transmission:
        for flags in NO_HOLE, DF, FAST_ZERO, 1 << 6, 1 << 15, REQ_ONE | DF:
            transmission.fails(status(0, server.minimum, flags), EINVAL)
        extents_of(transmission, status(0, server.minimum))


@in_modes("structured", "extended")
def every_context_gets_its_chunk(server, mode):
    with server.negotiated(mode)[0] as connection:
        listed = [name for _, name in connection.meta(OPT_LIST_META_CONTEXT, server.export, [])[0]]
    names = [name for name in listed if not name.endswith(":")]
    with server.enter(mode, names) as transmission:
        expect(sorted(transmission.contexts.values()) == sorted(names), "selected", transmission.contexts)
        for flags in 0, REQ_ONE:
            transmission.succeeds(status(0, longest(server, transmission), flags))


@in_modes("structured", "extended")
def block_status_mixes_with_reads(server, mode):
    with server.enter(mode, ALLOCATION) as transmission:
        requests = []
        for part in range(100):
            offset = server.aligned(server.size * part // 101)
            length = min(max(server.aligned(4096), server.minimum), server.size - offset)
            requests += [status(offset, length), read(offset, length)]
        for reply in transmission.ask(*requests):
            expect(reply.error == 0, "error", reply.error)
            if reply.request.command == BLOCK_STATUS:
                zero_parts(server, reply.request.offset, next(iter(reply.status.values())))
            else:
                server.matches(reply.request.offset, reply.data)


def limited(ids, length):
    """BLOCK_STATUS with a payload that names the contexts."""
    payload = struct.pack(f">Q{len(ids)}I", length, *ids)
    request = Request(BLOCK_STATUS, 0, len(payload), PAYLOAD_LEN, payload)
    request.effect_length, request.contexts = length, ids
    return request


@in_modes("extended")
def a_payload_limits_the_contexts_where_that_was_offered(server, mode):
    with server.enter(mode, ALLOCATION) as transmission:
        (context, ) = transmission.contexts
        length = server.aligned(min(server.size, 1 << 20)) or server.minimum
        if not transmission.flags & BLOCK_STATUS_PAYLOAD:
            transmission.fails(limited([context], length), EINVAL)
            extents_of(transmission, status(0, server.minimum))
            return
        extents_of(transmission, limited([context], length))
        for wrong in limited([context, context], length), limited([context ^ 1], length), \
                limited([context], server.size + server.minimum), limited([context], 2**64 - 1):
            transmission.fails(wrong, EINVAL)
        for size in 1, 4, 7, 9, 11, 13, 65536:
            transmission.fails(Request(BLOCK_STATUS, 0, size, PAYLOAD_LEN, bytes(size)), EINVAL)
        extents_of(transmission, status(0, server.minimum))


@in_modes("structured", "extended", writes=True)
def block_status_follows_writes(server, mode):
    """What was just written with data is not told to be zero."""
    with server.enter(mode, ALLOCATION) as transmission:
        if transmission.flags & READ_ONLY:
            raise LeftOut("the export is read-only")
        block = max(65536, server.minimum)
        for part in range(8):
            offset = (server.size - block) // 8 * part // block * block
            transmission.succeeds(Request(1, offset, block, payload=b"\xa5" * block))
            for _, state in extents_of(transmission, status(offset, block))[:1]:
                expect(not state & STATE_ZERO, "written data is told to be zero at", offset)
