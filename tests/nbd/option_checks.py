# SPDX-License-Identifier: Apache-2.0
"""Checks of the options but EXPORT_NAME and those of metadata contexts.

Left open, as the specification does: whether a repeated STRUCTURED_REPLY or EXTENDED_HEADERS is acknowledged or invalid,
whether an item asked for twice is, which error names longer than a string may be get, and whether options of a size
that nobody needs are read, refused or end the connection."""
import struct

from handshake_checks import judge_flags
from server import check
from transmission import Transmission
from wire import (ERR, ERR_EXT_HEADER_REQD, ERR_INVALID, ERR_PLATFORM, ERR_POLICY, ERR_TLS_REQD, ERR_TOO_BIG,
                  ERR_UNKNOWN, ERR_UNSUP, INFO_BLOCK_SIZE, INFO_DESCRIPTION, INFO_EXPORT, INFO_NAME, OPT_ABORT,
                  OPT_EXTENDED_HEADERS, OPT_GO, OPT_INFO, OPT_LIST, OPT_LIST_META_CONTEXT, OPT_PEEK_EXPORT,
                  OPT_SET_META_CONTEXT, OPT_STARTTLS, OPT_STRUCTURED_REPLY, REP_ACK, Ended, LeftOut, expect, info_data,
                  meta_data, option_bytes, rep_name)

ALL_ITEMS = INFO_EXPORT, INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE


@check
def list_names_every_export_once_and_this_one(server):
    with server.greeted() as connection:
        exports = connection.list()
        expect(server.export in exports, "the export is not in", list(exports)[:10])
        expect(connection.list() == exports, "a second LIST differs")


@check
def list_with_data_is_invalid(server):
    with server.greeted() as connection:
        for data in b"x", bytes(4), b"x" * 4096:
            connection.refuses(OPT_LIST, data, ERR_INVALID, ERR_TOO_BIG)


@check
def unknown_options_are_unsupported_and_their_data_is_skipped(server):
    with server.greeted() as connection:
        for option in 0, OPT_PEEK_EXPORT, 12, 13, 255, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF:
            for data in b"", b"x", option_bytes(OPT_ABORT), bytes(4096):
                connection.refuses(option, data, ERR_UNSUP)


@check
def starttls_is_refused_where_there_is_no_tls(server):
    with server.greeted() as connection:
        connection.acknowledges(OPT_STRUCTURED_REPLY)
        for data in b"", b"x":
            connection.refuses(OPT_STARTTLS, data, ERR_UNSUP, ERR_POLICY, ERR_PLATFORM, *[ERR_INVALID] * len(data))
        items, kind = connection.info(OPT_GO, server.export)
        expect(kind == REP_ACK, "GO after it ends with", rep_name(kind))
        transmission = Transmission(connection, "structured", server.size, 0, {}, server.payload_bytes_max)
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@check
def structured_reply_with_data_is_invalid_and_has_no_effect(server):
    with server.greeted() as connection:
        connection.refuses(OPT_STRUCTURED_REPLY, b"x", ERR_INVALID, ERR_TOO_BIG)
        connection.refuses(OPT_STRUCTURED_REPLY, bytes(4096), ERR_INVALID, ERR_TOO_BIG)
        expect(connection.info(OPT_GO, server.export)[1] == REP_ACK, "GO fails")
        transmission = Transmission(connection, "simple", server.size, 0, {}, server.payload_bytes_max)
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@check
def structured_reply_twice_leaves_structured_replies(server):
    with server.greeted() as connection:
        connection.acknowledges(OPT_STRUCTURED_REPLY)
        before, kind = connection.option(OPT_STRUCTURED_REPLY)
        expect(kind in (REP_ACK, ERR_INVALID) and not before, "the second is answered by", before, rep_name(kind))
        expect(connection.info(OPT_GO, server.export)[1] == REP_ACK, "GO fails")
        transmission = Transmission(connection, "structured", server.size, 0, {}, server.payload_bytes_max)
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


def extended(server):
    """A connection with extended headers, and its transmission phase entered by GO."""
    connection, _ = server.negotiated("extended")
    return connection


def reads_extended(server, connection):
    items, kind = connection.info(OPT_GO, server.export, [INFO_BLOCK_SIZE])
    expect(kind == REP_ACK, "GO ends with", rep_name(kind))
    transmission = Transmission(connection, "extended", server.size, 0, {}, server.payload_bytes_max)
    server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))
    transmission.disconnect()


@check
def extended_headers_need_no_structured_replies_before(server):
    with extended(server) as connection:
        reads_extended(server, connection)


@check
def extended_headers_take_precedence_over_structured_replies(server):
    with extended(server) as connection:
        connection.refuses(OPT_STRUCTURED_REPLY, b"", ERR_EXT_HEADER_REQD, ERR_INVALID)
        reads_extended(server, connection)
    with server.greeted() as connection:
        connection.acknowledges(OPT_STRUCTURED_REPLY)
        connection.acknowledges(OPT_EXTENDED_HEADERS)
        reads_extended(server, connection)


@check
def extended_headers_twice_stay(server):
    with extended(server) as connection:
        before, kind = connection.option(OPT_EXTENDED_HEADERS)
        expect(kind in (REP_ACK, ERR_INVALID) and not before, "the second is answered by", before, rep_name(kind))
        reads_extended(server, connection)


@check
def extended_headers_with_data_are_invalid_and_have_no_effect(server):
    extended(server).socket.close()
    with server.greeted() as connection:
        connection.refuses(OPT_EXTENDED_HEADERS, b"x", ERR_INVALID, ERR_TOO_BIG)
        expect(connection.info(OPT_GO, server.export)[1] == REP_ACK, "GO fails")
        transmission = Transmission(connection, "simple", server.size, 0, {}, server.payload_bytes_max)
        server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@check
def info_and_go_tell_size_flags_name_description_and_block_sizes(server):
    with server.greeted() as connection:
        exports = connection.list()
        for option in OPT_INFO, OPT_GO:
            items, kind = connection.info(option, server.export, ALL_ITEMS)
            expect(kind == REP_ACK, "the last reply is", rep_name(kind))
            size, flags = struct.unpack(">QH", items[INFO_EXPORT])
            expect(size == server.size, "size", size, "and", server.size)
            judge_flags(server, flags)
            name = items.get(INFO_NAME, b"").decode()
            expect(name in ("", server.export) or name in exports, "the canonical name is", name)
            listed, told = exports.get(server.export, ""), items.get(INFO_DESCRIPTION, b"").decode()
            expect(told in ("", listed), "described as", told, "and in the list as", listed)
            judge_block_sizes(items, size)


def judge_block_sizes(items, size):
    if INFO_BLOCK_SIZE not in items:
        return
    minimum, preferred, maximum = struct.unpack(">III", items[INFO_BLOCK_SIZE])
    sizes = minimum, preferred, maximum
    expect(minimum and minimum & (minimum - 1) == 0 and minimum <= 1 << 16, "minimum of block sizes", sizes)
    expect(preferred & (preferred - 1) == 0 and preferred >= max(minimum, 512), "preferred of block sizes", sizes)
    expect(maximum % minimum == 0 or maximum == 0xFFFFFFFF, "maximum of block sizes", sizes)
    expect(maximum >= min(preferred, size), "maximum of block sizes", sizes, "and a size of", size)
    expect(maximum >= min(1 << 20, size), "maximum of block sizes", sizes, "is under 1 MiB")
    expect(size % minimum == 0, "the size is no multiple of the minimum block size", minimum)


@check
def info_items_that_nobody_knows_are_ignored(server):
    with server.greeted() as connection:
        items, kind = connection.info(OPT_INFO, server.export, [4, 0x1234, 0xFFFF])
        expect(kind == REP_ACK and INFO_EXPORT in items, "the answer is", items, rep_name(kind))


@check
def info_twice_and_go_say_the_same(server):
    for requests in (), (INFO_BLOCK_SIZE,), ALL_ITEMS, (INFO_DESCRIPTION, INFO_NAME):
        with server.greeted() as connection:
            first = connection.info(OPT_INFO, server.export, requests)
            expect(connection.info(OPT_INFO, server.export, requests) == first, "a second INFO differs")
            expect(connection.info(OPT_GO, server.export, requests) == first, "GO differs from INFO")


@check
def an_item_asked_for_twice_comes_once_or_is_invalid(server):
    with server.greeted() as connection:
        items, kind = connection.info(OPT_INFO, server.export, [INFO_BLOCK_SIZE] * 2 + [INFO_NAME] * 3)
        expect(kind in (REP_ACK, ERR_INVALID), "the answer is", rep_name(kind))
        connection.still_haggles()


@check
def go_is_followed_by_no_padding_whatever_the_client_flags(server):
    for client_flags in 1, 3:
        with server.greeted(client_flags) as connection:
            expect(connection.info(OPT_GO, server.export)[1] == REP_ACK, "GO fails")
            transmission = Transmission(connection, "simple", server.size, 0, {}, server.payload_bytes_max)
            server.matches(0, transmission.reads(0, min(server.size, max(512, server.minimum))))


@check
def info_and_go_of_no_export_are_unknown(server):
    name = server.export
    strange = [b"no-such-export", name.encode() + b"\0", b"../" + name.encode(), b"/" + name.encode(), b"./" + name.encode(),
               name.encode() + b"/", b"/etc/passwd", b"%s%n", b"-oProxyCommand=x", b"a\nb", b"\x1b[2J", b"x" * 256,
               b"x" * 4096, b"/" * 4096]
    with server.greeted() as connection:
        for option in OPT_INFO, OPT_GO:
            for wrong in strange:
                errors = [ERR_INVALID] if b"\0" in wrong else []
                connection.refuses(option, info_data(wrong), ERR_UNKNOWN, *errors)


@check
def names_that_are_no_strings_are_refused(server):
    with server.greeted() as connection:
        for option in OPT_INFO, OPT_GO:
            for wrong in b"\xff\xfe", b"\xc0\x80", b"\xed\xa0\x80", b"abc\x80", b"\xf8" * 100:
                connection.refuses(option, info_data(wrong), ERR_UNKNOWN, ERR_INVALID)


@check
def names_that_are_too_long_are_refused_or_end_the_connection(server):
    for option in OPT_INFO, OPT_GO:
        for length in 4097, 8192, 65536:
            with server.greeted() as connection:
                try:
                    connection.refuses(option, info_data(b"x" * length), ERR_UNKNOWN, ERR_INVALID, ERR_TOO_BIG)
                except Ended:
                    pass


@check
def the_default_export_is_an_export_or_unknown(server):
    with server.greeted() as connection:
        items, kind = connection.info(OPT_INFO, b"")
        expect(kind in (REP_ACK, ERR_UNKNOWN), "the answer is", rep_name(kind))
        connection.still_haggles()


@check
def info_and_go_of_a_wrong_length_are_invalid(server):
    right, name = info_data(server.export, [INFO_BLOCK_SIZE]), server.export.encode()
    wrong = [right[:cut] for cut in range(len(right))] + [right + b"x", right + b"xx", right + bytes(100)]
    for length in len(name) + 1, len(name) + 5, 0x7FFFFFFF, 0xFFFFFFF0, 0xFFFFFFFF, 0xFFFFFFFA, 0xFFFFFFFC:
        wrong.append(struct.pack(">I", length) + right[4:])
    for count in 0, 2, 3, 0x8000, 0xFFFF:
        wrong.append(right[:-4] + struct.pack(">HH", count, INFO_BLOCK_SIZE))
    with server.greeted() as connection:
        for option in OPT_INFO, OPT_GO:
            for data in wrong:
                connection.refuses(option, data, ERR_INVALID, ERR_TOO_BIG)
        expect(connection.info(OPT_GO, server.export)[1] == REP_ACK, "the right GO after them fails")


@check
def many_items_are_answered_refused_or_end_the_connection(server):
    for count in 100, 1000, 30000, 65535:
        with server.greeted() as connection:
            try:
                _, kind = connection.info(OPT_INFO, server.export, list(range(count)))
                expect(kind in (REP_ACK, ERR_TOO_BIG, ERR_INVALID), "the answer to", count, "is", rep_name(kind))
                connection.still_haggles()
            except Ended:
                expect(count > 1000, "the connection ends after", count, "items")


@check
def an_option_of_a_huge_length_is_refused_or_ends_the_connection(server):
    """A part of it is sent, then the stream ends: no answer but errors may come, and then the end. (ABORT may be
    acknowledged before its data, which is ignored.)"""
    for option in OPT_LIST, OPT_STARTTLS, OPT_INFO, OPT_GO, OPT_STRUCTURED_REPLY, OPT_LIST_META_CONTEXT, \
            OPT_SET_META_CONTEXT, OPT_EXTENDED_HEADERS, 99:
        for length in 1 << 20, 1 << 24, (1 << 31) - 1, 1 << 31, (1 << 32) - 1:
            with server.greeted() as connection:
                connection.send_if_it_lives(option_bytes(option, bytes(100000), length=length))
                connection.no_more()
                ends_with_errors_only(connection, option)


def ends_with_errors_only(connection, option):
    try:
        kind, _ = connection.option_reply(option)
        expect(kind & ERR, "an option that was not sent whole is answered by", rep_name(kind))
        connection.expect_end()
    except Ended:
        pass


@check
def a_megabyte_of_an_unknown_option_is_skipped_or_ends_the_connection(server):
    with server.greeted() as connection:
        try:
            connection.refuses(99, bytes(1 << 20), ERR_UNSUP, ERR_TOO_BIG)
        except Ended:
            pass


@check
def no_answer_asks_for_tls_where_there_is_none(server):
    with server.greeted() as connection:
        for option in list(range(0, 15)):
            if option in (1, OPT_ABORT, OPT_GO, OPT_EXTENDED_HEADERS):
                continue
            _, kind = connection.option(option)
            expect(kind != ERR_TLS_REQD, "option", option, "is answered by TLS_REQD")


@check
def options_sent_ahead_are_answered_in_order_or_end_the_connection(server):
    """A client must wait for each reply, so the server may hang up; what it answers must be right."""
    options = [(OPT_LIST, b""), (77, b"abc"), (OPT_STRUCTURED_REPLY, b""),
               (OPT_LIST_META_CONTEXT, meta_data(server.export, [])), (OPT_INFO, info_data(server.export)), (OPT_ABORT, b"")]
    expected = [REP_ACK, ERR_UNSUP, REP_ACK, REP_ACK, REP_ACK, REP_ACK]
    with server.greeted() as connection:
        connection.send(b"".join(option_bytes(*option) for option in options))
        try:
            for (option, _), right in zip(options, expected):
                _, kind = connection.option_replies(option)
                expect(kind == right, "option", option, "is answered by", rep_name(kind))
        except Ended:
            raise LeftOut("the server hangs up, as it may") from None
