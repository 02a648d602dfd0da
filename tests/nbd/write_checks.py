# SPDX-License-Identifier: Apache-2.0
"""Checks of NBD_CMD_WRITE, WRITE_ZEROES and TRIM. The raw file is the one that is served, so that what was written is
looked for there as well.

Left open, as the specification does: the result of a WRITE of no bytes, whether a payload above the maximum is skipped or
ends the connection, what a trimmed range reads as, and whether a fast zero is done."""
import os
import random

from server import in_modes
from transmission import (DF, EINVAL, ENOSPC, ENOTSUP, EOVERFLOW, FAST_ZERO, FLUSH, FUA, NO_HOLE, PAYLOAD_LEN, REQ_ONE,
                          TRIM, WRITE, WRITE_ZEROES, Request, read, write)
from wire import (CAN_MULTI_CONN, SEND_FAST_ZERO, SEND_FLUSH, SEND_FUA, SEND_TRIM, SEND_WRITE_ZEROES, Ended, LeftOut,
                  NotOffered, expect)


def writes(function):
    return in_modes(writes=True)(function)


def holds(server, transmission, offset, data, what="what was written"):
    """Both the export and the file have these bytes."""
    expect(transmission.reads(offset, len(data)) == data, what, "does not read back at", offset)
    expect(server.content(offset, len(data)) == data, what, "is not in the file at", offset)


def somewhere(server, draw, length):
    return server.aligned(draw.randrange(server.size - length + 1))


@writes
def what_is_written_reads_back(server, mode):
    draw = random.Random(11)
    with server.enter(mode) as transmission:
        for longest in 512, 4096, 70000, 1 << 20:
            for _ in range(15):
                length = server.aligned(draw.randrange(1, longest + 1)) or server.minimum
                offset, data = somewhere(server, draw, length), draw.randbytes(length)
                around = server.content(max(offset - 512, 0), length + 1024)
                transmission.succeeds(write(offset, data))
                holds(server, transmission, offset, data)
                at = offset - max(offset - 512, 0)
                expect(server.content(max(offset - 512, 0), length + 1024) == around[:at] + data + around[at + length:],
                       "bytes around", offset, "+", length, "changed")


@writes
def the_first_and_the_last_bytes_can_be_written(server, mode):
    length = max(512, server.minimum)
    with server.enter(mode) as transmission:
        for offset in 0, server.size - length:
            data = os.urandom(length)
            transmission.succeeds(write(offset, data))
            holds(server, transmission, offset, data)


@writes
def the_largest_write_is_done(server, mode):
    length = min(server.size, server.payload_bytes_max, 1 << 25)
    with server.enter(mode) as transmission:
        data = os.urandom(length)
        transmission.succeeds(write(0, data))
        holds(server, transmission, 0, data)


@writes
def a_write_above_the_maximum_is_refused_or_ends_the_connection(server, mode):
    """Under 32 MiB it must be refused, not end the connection; what it would have changed stays."""
    if not server.block_sizes or server.size <= server.payload_bytes_max:
        raise LeftOut("no maximum is told, or the export is smaller")
    before = server.content(0, 4096)
    with server.enter(mode) as transmission:
        request = write(0, bytes(server.payload_bytes_max + server.minimum))
        try:
            transmission.fails(request, EINVAL, EOVERFLOW, ENOSPC)
            server.matches(0, transmission.reads(0, 4096))
        except Ended:
            expect(request.length >= 1 << 25, "a write of", request.length, "bytes ends the connection")
    expect(server.content(0, 4096) == before, "the refused write changed the disk")


@writes
def a_write_of_four_gib_is_refused_or_ends_the_connection(server, mode):
    before = server.content(0, 4096)
    with server.enter(mode) as transmission:
        data = transmission.encode(Request(WRITE, 0, 2**32 - server.minimum))
        transmission.connection.send_if_it_lives(data + b"\x77" * 500000)
        transmission.connection.no_more()
        try:
            reply = transmission.reply()
            expect(reply.error, "a write that was not sent whole succeeds")
            transmission.connection.expect_end()
        except Ended:
            pass
    expect(server.content(0, 4096) == before, "the refused write changed the disk")


@writes
def a_write_past_the_end_has_no_space(server, mode):
    size, least = server.size, max(server.minimum, 512)
    with server.enter(mode) as transmission:
        tail = server.content(size - least, least)
        for offset, length in (size, least), (size - least, 2 * least), (size + 2**40, 512), (2**63, 512), \
                (2**64 - 512, 512), (2**64 - 512, 1024):
            transmission.fails(write(offset, b"\x99" * length), ENOSPC)
            if transmission.flags & SEND_WRITE_ZEROES:
                transmission.fails(Request(WRITE_ZEROES, offset, length), ENOSPC)
            if transmission.flags & SEND_TRIM:
                transmission.fails(Request(TRIM, offset, length), EINVAL)
        if mode == "extended":
            for command, error in (WRITE_ZEROES, ENOSPC), (TRIM, EINVAL):
                for length in size + least, 2**63, 2**64 - 512, 2**64 - 1:
                    transmission.fails(Request(command, least, length), error)
        expect(server.content(size - least, least) == tail, "the end of the disk changed")
        holds(server, transmission, size - least, tail, "the end of the disk")
    expect(os.stat(server.raw).st_size == size, "the file's size changed to", os.stat(server.raw).st_size)


@writes
def a_write_of_no_bytes_does_not_end_the_connection(server, mode):
    """With extended headers a payload must not be empty, so there it may."""
    before = server.content(0, 4096)
    with server.enter(mode) as transmission:
        for command in TRIM, WRITE_ZEROES:
            transmission.one(Request(command, 0, 0))
        try:
            transmission.one(write(0, b""))
        except Ended:
            expect(mode == "extended", "the connection ends")
            return
        transmission.reads(0, server.minimum)
    expect(server.content(0, 4096) == before, "the disk changed")


@writes
def a_write_with_unknown_flags_is_invalid_and_its_payload_is_skipped(server, mode):
    before = server.content(0, 4096)
    with server.enter(mode) as transmission:
        for flags in NO_HOLE, DF, REQ_ONE, FAST_ZERO, 1 << 6, 1 << 15, FUA | DF:
            transmission.fails(write(0, b"\x66" * 4096, flags), EINVAL)
        if mode != "extended":
            transmission.fails(write(0, b"\x66" * 4096, PAYLOAD_LEN), EINVAL)
        for command in TRIM, WRITE_ZEROES:
            for flags in DF, REQ_ONE, 1 << 6, 1 << 15, *[FAST_ZERO, NO_HOLE][:2 if command == TRIM else 0]:
                transmission.fails(Request(command, 0, 4096, flags), EINVAL)
        holds(server, transmission, 0, before, "the disk")


@in_modes("extended", writes=True)
def a_write_without_payload_len_changes_nothing(server, mode):
    """It is wrong, and its payload's length is not known: an error or the end, but no success."""
    before = server.content(0, 4096)
    with server.enter(mode) as transmission:
        data = transmission.encode(Request(WRITE, 0, 4096, raw_flags=True))
        transmission.connection.send_if_it_lives(data)
        transmission.connection.no_more()
        try:
            reply = transmission.reply()
            expect(reply.error == EINVAL, "the answer is", reply.error)
            transmission.connection.expect_end()
        except Ended:
            pass
    expect(server.content(0, 4096) == before, "the disk changed")


@writes
def zeroes_read_as_zeros(server, mode):
    draw = random.Random(12)
    with server.enter(mode) as transmission:
        if not transmission.flags & SEND_WRITE_ZEROES:
            raise NotOffered("the server does not offer WRITE_ZEROES")
        fua = FUA if transmission.flags & SEND_FUA else 0
        for flags in 0, NO_HOLE, fua, NO_HOLE | fua:
            for longest in 512, 4096, 1 << 20:
                length = server.aligned(draw.randrange(1, longest + 1)) or server.minimum
                offset = somewhere(server, draw, length)
                transmission.succeeds(write(offset, draw.randbytes(length)))
                around = server.content(max(offset - 512, 0), length + 1024)
                transmission.succeeds(Request(WRITE_ZEROES, offset, length, flags))
                holds(server, transmission, offset, bytes(length), "zeroes")
                at = offset - max(offset - 512, 0)
                expect(server.content(max(offset - 512, 0), length + 1024) ==
                       around[:at] + bytes(length) + around[at + length:], "bytes around the zeroes changed")


@writes
def fast_zeroes_are_done_or_refused_without_a_change(server, mode):
    with server.enter(mode) as transmission:
        if not transmission.flags & SEND_FAST_ZERO:
            transmission.fails(Request(WRITE_ZEROES, 0, server.minimum, FAST_ZERO), EINVAL)
            raise NotOffered("the server does not offer FAST_ZERO")
        for offset, length in (0, 65536), (server.minimum, 65536), (4096 * 3, 1 << 20):
            for flags in FAST_ZERO, FAST_ZERO | NO_HOLE:
                data = os.urandom(length)
                transmission.succeeds(write(offset, data))
                reply = transmission.fails(Request(WRITE_ZEROES, offset, length, flags), 0, ENOTSUP)
                holds(server, transmission, offset, data if reply.error else bytes(length), "a fast zero")


@writes
def zeroes_longer_than_the_maximum_are_done_or_refused(server, mode):
    """The whole disk, which is written again before the check ends."""
    if server.size > 1 << 30:
        raise LeftOut("the disk is too large to be written again")
    with server.enter(mode) as transmission:
        if not transmission.flags & SEND_WRITE_ZEROES:
            raise NotOffered("the server does not offer WRITE_ZEROES")
        reply = transmission.fails(Request(WRITE_ZEROES, 0, server.size), 0, EINVAL, EOVERFLOW)
        if reply.error == 0:
            expect(server.content(0, server.size).count(0) == server.size, "something is left")
        for offset in range(0, server.size, 4 << 20):
            length = min(1 << 20, server.size - offset)
            transmission.succeeds(write(offset, os.urandom(length)))


@writes
def trim_leaves_the_bytes_around_alone(server, mode):
    with server.enter(mode) as transmission:
        if not transmission.flags & SEND_TRIM:
            raise NotOffered("the server does not offer TRIM")
        data = os.urandom(1 << 20)
        transmission.succeeds(write(0, data))
        for flags in 0, FUA if transmission.flags & SEND_FUA else 0:
            transmission.succeeds(Request(TRIM, 4096, (1 << 20) - 8192, flags))
            holds(server, transmission, 0, data[:4096], "what is before the trimmed range")
            holds(server, transmission, (1 << 20) - 4096, data[-4096:], "what is behind the trimmed range")
        expect(transmission.reads(4096, 65536) == server.content(4096, 65536), "the trimmed range and the file differ")


@writes
def fua_writes_are_done(server, mode):
    with server.enter(mode) as transmission:
        if not transmission.flags & SEND_FUA:
            raise NotOffered("the server does not offer FUA")
        for length in server.minimum, 4096, 65536:
            data = os.urandom(length)
            transmission.succeeds(write(server.minimum * 3, data, FUA))
            holds(server, transmission, server.minimum * 3, data)


@writes
def a_write_split_anywhere_arrives_whole(server, mode):
    """In two parts; another connection is served between them, so that the first part is seen alone."""
    length = max(512, server.minimum)
    with server.enter(mode) as transmission, server.enter("simple") as other:
        head = len(Request(WRITE, cookie=0).encode(mode))
        for cut in [*range(1, head + 40), *range(head + 40, head + length, 13)]:
            data = os.urandom(length)
            encoded = transmission.encode(write(4096, data))
            transmission.connection.send(encoded[:cut])
            other.reads(0, server.minimum)
            transmission.connection.send(encoded[cut:])
            expect(transmission.reply().error == 0, "a write cut at", cut, "fails")
            expect(server.content(4096, length) == data, "a write cut at", cut, "wrote something else")


@writes
def writes_split_among_others_arrive_whole(server, mode):
    """Many writes in one stream that is cut into pieces of odd lengths."""
    draw = random.Random(13)
    block = max(4096, server.minimum)
    count = min(64, server.size // block)
    with server.enter(mode) as transmission:
        blocks = [draw.randbytes(block) for _ in range(count)]
        stream = b"".join(transmission.encode(write(number * block, data)) for number, data in enumerate(blocks))
        at = 0
        while at < len(stream):
            piece = draw.choice([1, 7, 27, 28, 29, 100, 4096, 30000])
            transmission.connection.send(stream[at:at + piece])
            at += piece
        for reply in transmission.replies([]):
            expect(reply.error == 0, "error", reply.error)
        for number, data in enumerate(blocks):
            holds(server, transmission, number * block, data)


@writes
def many_writes_and_reads_in_flight_do_not_mix(server, mode):
    draw = random.Random(14)
    block = max(4096, server.minimum)
    half = min(100, server.size // block // 2)
    with server.enter(mode) as transmission:
        for _ in range(3):
            blocks = [draw.randbytes(block) for _ in range(half)]
            unchanged = [server.content((half + number) * block, block) for number in range(half)]
            requests = []
            for number in range(half):
                requests += [write(number * block, blocks[number]), read((half + number) * block, block)]
            replies = transmission.ask(*requests)
            for number in range(half):
                expect(replies[2 * number].error == 0, "a write fails")
                expect(replies[2 * number + 1].data == unchanged[number], "a read beside writes gives other bytes")
            for number in range(half):
                expect(server.content(number * block, block) == blocks[number], "block", number, "is something else")


@writes
def a_write_that_was_answered_is_seen_by_a_later_read(server, mode):
    with server.enter(mode) as transmission:
        for _ in range(200):
            data = os.urandom(max(512, server.minimum))
            transmission.succeeds(write(0, data))
            expect(transmission.reads(0, len(data)) == data, "it is not")


@writes
def what_is_flushed_is_seen_on_all_connections_where_there_may_be_several(server, mode):
    with server.enter(mode) as first, server.enter("structured") as second:
        if not first.flags & CAN_MULTI_CONN:
            raise NotOffered("the server does not offer several connections")
        for _ in range(20):
            data = os.urandom(max(4096, server.minimum))
            second.reads(0, len(data))
            first.succeeds(write(0, data))
            if first.flags & SEND_FLUSH:
                first.succeeds(Request(FLUSH))
            expect(second.reads(0, len(data)) == data, "the other connection reads old bytes")


@writes
def a_write_that_ends_in_its_payload_changes_nothing_else(server, mode):
    """The client goes after a part of the payload; the part may be written or not."""
    for length in 4096, 1 << 20:
        length = min(length, server.size // 2)
        before = server.content(0, length + 65536)
        with server.enter(mode) as transmission:
            data = transmission.encode(write(0, b"\x11" * length))
            transmission.connection.send(data[:len(data) // 2])
        server.serves_others()
        after = server.content(0, length + 65536)
        for at in range(0, length, 512):
            expect(after[at:at + 512] in (before[at:at + 512], b"\x11" * 512), "something else is at", at)
        expect(after[length:] == before[length:], "bytes behind the write changed")
