# SPDX-License-Identifier: Apache-2.0
"""Checks of the stream of requests and replies: cookies, order, many in flight, parts of requests, the end.

Left open, as the specification does: the order of replies, and whether requests that are sent before the reply to GO are
answered or end the connection."""
import random
import struct

from server import in_modes
from transmission import DISC, EXTENDED_REQUEST_MAGIC, FUA, REQUEST_MAGIC, Request, Transmission, read
from wire import (INFO_BLOCK_SIZE, OPT_EXTENDED_HEADERS, OPT_GO, OPT_SET_META_CONTEXT, OPT_STRUCTURED_REPLY, REP_ACK,
                  Ended, LeftOut, expect)


def least(server):
    return min(server.size, max(512, server.minimum))


def reads_at_random(server, count, seed, longest=4096):
    draw = random.Random(seed)
    requests = []
    for _ in range(count):
        offset = server.aligned(draw.randrange(server.size))
        length = server.aligned(draw.randrange(1, longest + 1)) or server.minimum
        requests.append(read(offset, min(length, server.size - offset)))
    return requests


def all_match(server, replies):
    for reply in replies:
        expect(reply.error == 0, "error", reply.error)
        server.matches(reply.request.offset, reply.data)


@in_modes()
def cookies_come_back_whatever_they_are(server, mode):
    with server.enter(mode) as transmission:
        for cookie in 0, 1, 2**63, 2**64 - 1, 0x2560951325609513, 0x0A0D000A0D00FF00:
            transmission.succeeds(read(0, least(server), cookie=cookie))


@in_modes()
def one_cookie_for_several_requests_is_answered_as_often(server, mode):
    """A client should not; the replies of equal reads cannot be told from each other."""
    with server.enter(mode) as transmission:
        replies = transmission.ask(*[read(0, least(server), cookie=7) for _ in range(20)])
        expect(len(replies) == 20, len(replies), "replies")
        if mode == "simple":
            all_match(server, replies)


@in_modes()
def many_requests_in_flight_are_answered_once_each(server, mode):
    with server.enter(mode) as transmission:
        for count, longest in (64, 4096), (500, 512), (100, 100000), (3000, 512):
            replies = transmission.ask(*reads_at_random(server, count, count, longest))
            expect(len(replies) == count, len(replies), "replies")
            all_match(server, replies)


@in_modes()
def large_reads_in_flight_do_not_mix(server, mode):
    largest = min(server.size, server.payload_bytes_max, 4 << 20)
    with server.enter(mode) as transmission:
        requests = []
        for part in range(16):
            offset = server.aligned((server.size - largest) * part // 16)
            requests += [read(offset, largest), read(offset, server.minimum)]
        all_match(server, transmission.ask(*requests))


@in_modes()
def errors_among_many_requests_hit_only_their_own(server, mode):
    with server.enter(mode) as transmission:
        requests = reads_at_random(server, 300, 9)
        for place in range(0, 300, 7):
            requests[place] = read(server.size + 4096 * place, 4096)
        for reply in transmission.ask(*requests):
            wrong = reply.request.offset >= server.size
            expect(bool(reply.error) == wrong, "error", reply.error, "at", reply.request.offset)
            if not wrong:
                server.matches(reply.request.offset, reply.data)


@in_modes()
def a_request_split_anywhere_is_answered(server, mode):
    with server.enter(mode) as transmission, server.enter("simple") as other:
        size = len(read(0, 512, cookie=0).encode(mode))
        for cut in range(1, size):
            encoded = transmission.encode(read(0, least(server)))
            transmission.connection.send(encoded[:cut])
            other.reads(0, server.minimum)
            transmission.connection.send(encoded[cut:])
            server.matches(0, transmission.reply().data)


@in_modes()
def requests_sent_byte_by_byte_are_answered(server, mode):
    with server.enter(mode) as transmission:
        requests = reads_at_random(server, 30, 10)
        transmission.connection.send_by_bytes(transmission.encode(*requests))
        all_match(server, transmission.replies(requests))


@in_modes()
def haggling_and_requests_in_one_write_are_answered_or_end_the_connection(server, mode):
    with server.negotiated(mode)[0] as connection:
        pass  # leaves the check out, when the mode is not offered
    with server.connection() as connection:
        transmission = Transmission(connection, mode, server.size, 0, {}, server.payload_bytes_max)
        requests = reads_at_random(server, 20, 11)
        connection.send(server.opening(mode) + transmission.encode(*requests, Request(DISC, cookie=1)))
        connection.greet(client_flags=None)
        try:
            answer_options(connection, mode)
            all_match(server, transmission.replies(requests))
            connection.expect_end()
        except Ended:
            raise LeftOut("the server hangs up, as it may") from None


def answer_options(connection, mode, contexts=False):
    for option in [{"structured": OPT_STRUCTURED_REPLY, "extended": OPT_EXTENDED_HEADERS}.get(mode)]:
        if option:
            expect(connection.option_replies(option)[1] == REP_ACK, "option", option, "fails")
    if contexts:
        connection.option_replies(OPT_SET_META_CONTEXT)
    before, kind = connection.option_replies(OPT_GO)
    expect(before and kind == REP_ACK, "GO is answered by", before, kind)


@in_modes()
def a_session_cut_into_odd_pieces_is_answered(server, mode):
    draw = random.Random(12)
    with server.negotiated(mode)[0]:
        pass
    for _ in range(10):
        with server.connection() as connection:
            opening, at = server.opening(mode), 0
            connection.greet(client_flags=None)
            while at < len(opening):
                piece = draw.choice([1, 2, 3, 5, 8, 13, 21, 34])
                connection.send(opening[at:at + piece])
                at += piece
            answer_options(connection, mode)
            transmission = Transmission(connection, mode, server.size, 0, {}, server.payload_bytes_max)
            requests = reads_at_random(server, 20, 13)
            encoded, at = transmission.encode(*requests), 0
            while at < len(encoded):
                piece = draw.choice([1, 2, 3, 5, 8, 13, 21, 34])
                connection.send(encoded[at:at + piece])
                at += piece
            all_match(server, transmission.replies(requests))


@in_modes()
def disc_ends_the_connection_without_a_reply(server, mode):
    with server.enter(mode) as transmission:
        transmission.disconnect()
    with server.enter(mode) as transmission:
        transmission.reads(0, least(server))
        transmission.disconnect()


@in_modes()
def what_was_asked_before_disc_is_answered(server, mode):
    with server.enter(mode) as transmission:
        requests = reads_at_random(server, 100, 14, 65536)
        data = transmission.encode(*requests, Request(DISC, cookie=1))
        transmission.connection.send(data)
        all_match(server, transmission.replies(requests))
        transmission.connection.expect_end()


@in_modes()
def what_follows_disc_is_not_answered(server, mode):
    with server.enter(mode) as transmission:
        asked = read(0, least(server))
        data = transmission.encode(asked, Request(DISC, cookie=1))
        after = read(0, least(server), cookie=2).encode(mode) * 50
        transmission.connection.send_if_it_lives(data + after)
        all_match(server, transmission.replies([asked]))
        transmission.connection.expect_end()


@in_modes()
def disc_with_fields_that_should_be_zero_ends_the_connection_all_the_same(server, mode):
    for request in Request(DISC, 512, 0), Request(DISC, 0, 512), Request(DISC, 2**64 - 1, 2**32 - 1), Request(DISC, flags=FUA), \
            Request(DISC, flags=0x8000):
        with server.enter(mode) as transmission:
            request.cookie = 3
            transmission.connection.send(request.encode(mode))
            transmission.connection.expect_end()


@in_modes()
def a_wrong_magic_of_a_request_ends_the_connection(server, mode):
    other = REQUEST_MAGIC if mode == "extended" else EXTENDED_REQUEST_MAGIC
    for magic in other, 1, 0xFFFFFFFF, 0x12560953, 0x25609514, 0x67446698, 0x49484156:
        with server.enter(mode) as transmission:
            server.matches(0, transmission.reads(0, least(server)))
            transmission.connection.send(read(0, 512, cookie=1, magic=magic).encode(mode))
            transmission.connection.expect_end_after_an_error()


@in_modes()
def an_option_in_the_transmission_phase_ends_the_connection(server, mode):
    with server.enter(mode) as transmission:
        transmission.connection.send(b"IHAVEOPT" + struct.pack(">II", 3, 0) + bytes(16))
        transmission.connection.expect_end_after_an_error()


@in_modes()
def requests_before_a_wrong_one_are_answered_or_the_connection_ends(server, mode):
    """The wrong one ends the connection; what was asked before may be answered still, and then rightly."""
    with server.enter(mode) as transmission:
        requests = reads_at_random(server, 20, 15)
        data = transmission.encode(*requests, read(0, least(server), cookie=0, magic=1))
        transmission.connection.send(data)
        try:
            while len(transmission.waiting) > 1:
                reply = transmission.reply()
                if reply.request.magic is None:
                    all_match(server, [reply])
            transmission.connection.expect_end_after_an_error()
        except Ended:
            pass


@in_modes()
def the_end_of_the_stream_within_a_request_ends_the_connection(server, mode):
    size = len(read(0, 512, cookie=0).encode(mode))
    for cut in 0, 1, 4, 16, size - 1:
        with server.enter(mode) as transmission:
            encoded = read(0, least(server), cookie=5).encode(mode)
            transmission.connection.send(encoded[:cut])
            transmission.connection.no_more()
            transmission.connection.expect_end()


@in_modes()
def what_was_asked_before_the_end_of_the_stream_is_answered_or_dropped(server, mode):
    with server.enter(mode) as transmission:
        requests = reads_at_random(server, 50, 16)
        transmission.connection.send(transmission.encode(*requests))
        transmission.connection.no_more()
        try:
            all_match(server, transmission.replies(requests))
            transmission.connection.expect_end()
        except Ended:
            pass


@in_modes()
def a_client_that_leaves_with_replies_pending_disturbs_nobody(server, mode):
    for count in 1, 10, 100:
        for _ in range(5):
            with server.enter(mode) as transmission:
                transmission.connection.send(transmission.encode(*reads_at_random(server, count, count, 65536)))
        server.serves_others()


@in_modes()
def a_client_that_does_not_read_holds_nobody_up(server, mode):
    """It gets its replies when it reads them at last."""
    largest = min(server.size, server.payload_bytes_max, 1 << 20)
    with server.enter(mode) as slow:
        requests = [read(server.aligned((server.size - largest) * part // 64), largest) for part in range(64)]
        slow.connection.send(slow.encode(*requests))
        for _ in range(3):
            server.serves_others()
        all_match(server, slow.replies(requests))


@in_modes()
def a_client_that_stops_within_a_request_holds_nobody_up(server, mode):
    held = []
    for cut in 1, 4, 16, 27:
        transmission = server.enter(mode)
        encoded = transmission.encode(read(0, least(server)))
        transmission.connection.send(encoded[:cut])
        held.append((transmission, encoded[cut:]))
    server.serves_others()
    for transmission, rest in held:
        with transmission:
            transmission.connection.send(rest)
            server.matches(0, transmission.reply().data)


@in_modes()
def a_hundred_connections_are_served_side_by_side(server, mode):
    connections = [server.enter(mode, requests=(INFO_BLOCK_SIZE, )) for _ in range(100)]
    asked = []
    for number, transmission in enumerate(connections):
        requests = reads_at_random(server, 10, number)
        asked.append(requests)
        transmission.connection.send(transmission.encode(*requests))
    for transmission, requests in zip(connections, asked):
        with transmission:
            all_match(server, transmission.replies(requests))
