# SPDX-License-Identifier: Apache-2.0
"""Checks of the greeting, the client flags and NBD_OPT_EXPORT_NAME.

Left open, as the specification does: whether options other than EXPORT_NAME are honoured without
NBD_FLAG_C_FIXED_NEWSTYLE, and what follows EXPORT_NAME after extended headers, but that it is well-formed or the end."""
import struct

from server import check
from wire import (FIXED_NEWSTYLE, HAS_FLAGS, NO_ZEROES, OPT_ABORT, OPT_EXPORT_NAME, OPT_EXTENDED_HEADERS, OPT_GO,
                  OPT_INFO, OPT_LIST, OPT_STRUCTURED_REPLY, READ_ONLY, REP_ACK, SEND_DF, SEND_FAST_ZERO,
                  SEND_WRITE_ZEROES, Ended, Wrong, expect, info_data, option_bytes)
from transmission import EXTENDED_REQUEST_MAGIC, Transmission, read


def judge_flags(server, flags):
    expect(flags & HAS_FLAGS, "transmission flags without HAS_FLAGS:", hex(flags))
    expect(bool(flags & READ_ONLY) != server.writable, "transmission flags", hex(flags), "of an export that is",
           "writable" if server.writable else "read-only")
    expect(not flags & SEND_FAST_ZERO or flags & SEND_WRITE_ZEROES, "fast zeroes without zeroes:", hex(flags))
    expect(flags & (1 << 9) == 0 and flags < 1 << 13, "unknown transmission flags:", hex(flags))


def export_name(server, connection, no_zeroes):
    """EXPORT_NAME, and what answers it, ending with a read."""
    connection.send_option(OPT_EXPORT_NAME, server.export.encode())
    size, flags = struct.unpack(">QH", connection.receive(10))
    expect(size == server.size, "size", size, "instead of", server.size)
    judge_flags(server, flags)
    if not no_zeroes:
        expect(connection.receive(124) == bytes(124), "the reserved bytes are not zero")
    return Transmission(connection, "simple", size, flags, {}, server.payload_bytes_max)


@check
def the_greeting_is_that_of_fixed_newstyle(server):
    with server.connection() as connection:
        connection.greet(client_flags=None)


@check
def export_name_is_followed_by_124_zeros_unless_the_client_declines(server):
    for client_flags in 0, FIXED_NEWSTYLE, NO_ZEROES, FIXED_NEWSTYLE | NO_ZEROES:
        with server.connection() as connection:
            flags = connection.greet(client_flags=None)
            client_flags &= flags
            connection.send(struct.pack(">I", client_flags))
            transmission = export_name(server, connection, client_flags & NO_ZEROES)
            server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))
            transmission.disconnect()


@check
def an_unknown_client_flag_ends_the_connection(server):
    for bit in range(2, 32):
        with server.connection() as connection:
            connection.greet(client_flags=FIXED_NEWSTYLE | NO_ZEROES | 1 << bit)
            connection.send_if_it_lives(option_bytes(OPT_LIST))
            connection.expect_end()


@check
def no_zeroes_that_was_not_offered_ends_the_connection(server):
    with server.connection() as connection:
        if not connection.greet(client_flags=None) & NO_ZEROES:
            connection.send(struct.pack(">I", FIXED_NEWSTYLE | NO_ZEROES))
            connection.expect_end()


@check
def options_without_fixed_newstyle_are_answered_or_end_the_connection(server):
    with server.connection() as connection:
        connection.greet(client_flags=0)
        try:
            connection.send_option(OPT_LIST)
            connection.option_replies(OPT_LIST)
        except Ended:
            pass


@check
def a_wrong_magic_of_an_option_ends_the_connection(server):
    for magic in b"IHAVEOPU", b"NBDMAGIC", bytes(8), b"\xff" * 8, struct.pack(">Q", 0x3E889045565A9):
        with server.greeted() as connection:
            connection.send(magic + struct.pack(">II", OPT_LIST, 0))
            connection.expect_end()


@check
def a_request_instead_of_an_option_ends_the_connection(server):
    with server.greeted() as connection:
        connection.send(struct.pack(">IHHQQI", 0x25609513, 0, 0, 1, 0, 512))
        connection.expect_end()


@check
def export_name_of_no_export_ends_the_connection(server):
    for name in b"no-such-export", b"x" * 4096, b"x" * 4097, b"\xff\xfe", b"a\0b", b"../" + server.export.encode():
        with server.greeted() as connection:
            connection.send_if_it_lives(option_bytes(OPT_EXPORT_NAME, name))
            connection.expect_end()


@check
def export_name_of_a_huge_length_ends_the_connection(server):
    for length in 1 << 16, 1 << 20, 1 << 31, (1 << 32) - 1:
        with server.greeted() as connection:
            connection.send_if_it_lives(option_bytes(OPT_EXPORT_NAME, b"x" * 8192, length=length))
            connection.no_more()
            connection.expect_end()


@check
def export_name_works_after_options_that_failed(server):
    with server.greeted() as connection:
        connection.option(OPT_GO, info_data("no-such-export"))
        connection.option(77, b"what")
        transmission = export_name(server, connection, NO_ZEROES)
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@check
def export_name_after_structured_replies_gives_structured_replies(server):
    with server.greeted() as connection:
        connection.acknowledges(OPT_STRUCTURED_REPLY)
        transmission = export_name(server, connection, NO_ZEROES)
        transmission.mode = "structured"
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))
        transmission.disconnect()


@check
def export_name_after_extended_headers_is_refused_or_well_formed(server):
    with server.greeted() as connection:
        if connection.option(OPT_EXTENDED_HEADERS)[1] != REP_ACK:
            return
        try:
            transmission = export_name(server, connection, NO_ZEROES)
        except Ended:
            return
        transmission.mode = "extended"
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@check
def df_is_offered_with_structured_replies_only(server):
    for structured in False, True:
        with server.greeted() as connection:
            if structured:
                connection.acknowledges(OPT_STRUCTURED_REPLY)
            items, _ = connection.info(OPT_INFO, server.export)
            flags = struct.unpack(">QH", items[0])[1]
            judge_flags(server, flags)
            expect(structured or not flags & SEND_DF, "DF is offered without structured replies:", hex(flags))


@check
def a_session_sent_byte_by_byte_is_answered_like_any_other(server):
    for mode in "simple", "structured":
        with server.connection() as connection:
            connection.greet(client_flags=None)
            connection.send_by_bytes(server.opening(mode))
            if mode == "structured":
                connection.option_replies(OPT_STRUCTURED_REPLY)
            before, kind = connection.option_replies(OPT_GO)
            expect(before and kind == REP_ACK, "GO is answered by", before, kind)
            transmission = Transmission(connection, mode, server.size, server.flags, {}, server.payload_bytes_max)
            length = min(server.size, max(512, server.minimum))
            request = read(0, length)
            connection.send_by_bytes(transmission.encode(request))
            server.matches(0, transmission.reply().data)
            transmission.disconnect()


@check
def a_connection_that_is_closed_anywhere_in_the_handshake_disturbs_nobody(server):
    opening = server.opening("structured", ["base:allocation"])
    for cut in range(len(opening) + 1):
        with server.connection() as connection:
            if cut % 2:
                connection.greet(client_flags=None)
            connection.send_if_it_lives(opening[:cut])
    server.serves_others()


@check
def connections_that_wait_anywhere_in_the_handshake_hold_nobody_up(server):
    opening = server.opening("structured", ["base:allocation"])
    waiting = []
    for cut in range(0, len(opening), 5):
        connection = server.connection()
        connection.send(opening[:cut])
        waiting.append((connection, cut))
    server.serves_others()
    for connection, cut in waiting:  # and each may still go on
        with connection:
            connection.greet(client_flags=None)
            connection.send(opening[cut:])
            connection.option_replies(OPT_STRUCTURED_REPLY)
            connection.option_replies(10)
            before, kind = connection.option_replies(OPT_GO)
            expect(before and kind == REP_ACK, "GO after a pause at byte", cut, "is answered by", before, kind)


@check
def the_end_of_the_stream_in_the_handshake_ends_the_connection(server):
    opening = server.opening("structured")
    for cut in 0, 1, 3, 4, 5, 12, 19, len(opening) - 1:
        with server.connection() as connection:
            connection.greet(client_flags=None)
            connection.send(opening[:cut])
            connection.no_more()
            while True:
                try:
                    connection.receive(1)
                except Ended:
                    break


@check
def abort_is_acknowledged_with_and_without_data(server):
    for data in b"", b"x", b"goodbye" * 100:
        with server.greeted() as connection:
            before, kind = connection.option(OPT_ABORT, data)
            expect(kind == REP_ACK and not before, "ABORT is answered by", before, kind)
            connection.no_more()
            connection.expect_end()


@check
def an_abort_without_waiting_for_its_answer_disturbs_nobody(server):
    for _ in range(20):
        with server.greeted() as connection:
            connection.send_option(OPT_ABORT)
    server.serves_others()


@check
def an_option_after_abort_is_not_executed(server):
    with server.greeted() as connection:
        connection.send(option_bytes(OPT_ABORT) + option_bytes(OPT_GO, info_data(server.export)))
        kind, _ = connection.option_reply(OPT_ABORT)
        expect(kind == REP_ACK, "ABORT is answered by", kind)
        connection.no_more()
        try:
            connection.expect_end()
        except Wrong:
            raise Wrong("GO after ABORT is answered") from None


@check
def an_extended_request_without_extended_headers_ends_the_connection(server):
    with server.enter("structured") as transmission:
        transmission.connection.send(struct.pack(">IHHQQQ", EXTENDED_REQUEST_MAGIC, 0, 0, 1, 0, 512))
        transmission.connection.expect_end_after_an_error()
