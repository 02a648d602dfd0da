# SPDX-License-Identifier: Apache-2.0
"""Checks of LIST_META_CONTEXT and SET_META_CONTEXT.

Left open, as the specification does: whether contexts may be listed without structured replies, whether a query without
a colon is ignored or invalid, and whether very many queries are too big."""
import struct

from server import check
from transmission import BLOCK_STATUS, EINVAL, Request
from wire import (ERR, ERR_EXT_HEADER_REQD, ERR_INVALID, ERR_TOO_BIG, ERR_UNKNOWN, INFO_BLOCK_SIZE, OPT_GO, OPT_INFO,
                  OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT, OPT_STRUCTURED_REPLY, REP_ACK, Ended, expect, meta_data,
                  rep_name)

BOTH = OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT


def names_of(server, option, queries, connection=None):
    """The names that an option answers with; on a connection of its own when none is given."""
    connection = connection or server.negotiated("structured")[0]
    told, kind = connection.meta(option, server.export, queries)
    expect(kind == REP_ACK, "the last reply is", rep_name(kind))
    if option == OPT_SET_META_CONTEXT:
        expect(len({number for number, _ in told}) == len(told), "ids are not unique:", told)
    else:
        expect(all(number == 0 for number, _ in told), "ids in a list should be 0:", told)
    return [name for _, name in told]


def all_contexts(server):
    return names_of(server, OPT_LIST_META_CONTEXT, [])


def namespace(name):
    return name.split(":")[0]


@check
def base_allocation_is_listed(server):
    for queries in [], ["base:"], ["base:allocation"], ["base:", "base:allocation"], ["base:allocation"] * 3:
        expect("base:allocation" in names_of(server, OPT_LIST_META_CONTEXT, queries), "it is not, for", queries)


@check
def a_list_has_only_what_was_asked_for(server):
    everything = all_contexts(server)
    for space in {namespace(name) for name in everything}:
        got = names_of(server, OPT_LIST_META_CONTEXT, [space + ":"])
        expect(got and all(namespace(name) == space for name in got), "for", space + ":", "come", got)
    for name in everything:
        if not name.endswith(":"):
            expect(name in names_of(server, OPT_LIST_META_CONTEXT, [name]), name, "is not listed by its name")
    expect(names_of(server, OPT_LIST_META_CONTEXT, ["base:allocation"]) == ["base:allocation"], "more than it comes")


@check
def queries_of_unknown_contexts_are_ignored(server):
    unknown = ["base:nosuch", "base:allocatio", "base:allocation2", "base:allocation:", "x-unknown:", "x-unknown:what",
               "nosuch:thing", "qemu:nosuch", "qemu:dirty-bitmap:no-such-bitmap", "nbd-server:", "BASE:allocation",
               "x-1:" + "y" * 4000]
    for option in BOTH:
        for query in unknown:
            expect(names_of(server, option, [query]) == [], query, "selects something")
        expect(names_of(server, option, unknown[:3] + ["base:allocation"] + unknown[3:]) == ["base:allocation"],
               "base:allocation is not found among unknown contexts")


@check
def set_selects_what_is_named_once(server):
    for queries in ["base:allocation"], ["base:allocation"] * 3, ["base:", "base:allocation"]:
        expect(names_of(server, OPT_SET_META_CONTEXT, queries) == ["base:allocation"], "not so for", queries)


@check
def set_selects_nothing_for_wildcards_and_for_no_queries(server):
    for queries in [], ["base:"], ["qemu:"], ["base:", "qemu:"]:
        expect(names_of(server, OPT_SET_META_CONTEXT, queries) == [], queries, "select something")


@check
def every_listed_context_can_be_set(server):
    listed = [name for name in all_contexts(server) if not name.endswith(":")]
    expect(sorted(names_of(server, OPT_SET_META_CONTEXT, listed)) == sorted(listed), "not all of", listed)


@check
def a_query_without_a_namespace_is_ignored_or_invalid(server):
    for option in BOTH:
        for query in "", "base", "allocation", ":allocation", "::", "b", b"\xff\xfe:x", b"base:\xff", b"a\0b:c":
            with server.negotiated("structured")[0] as connection:
                told, kind = connection.meta(option, server.export, [query])
                expect(kind in (REP_ACK, ERR_INVALID) and not told, repr(query), "is answered by", told, rep_name(kind))
                connection.still_haggles()


@check
def contexts_are_refused_without_structured_replies(server):
    with server.greeted() as connection:
        connection.refuses(OPT_SET_META_CONTEXT, meta_data(server.export, ["base:allocation"]), ERR_INVALID,
                           ERR_EXT_HEADER_REQD)
        told, kind = connection.meta(OPT_LIST_META_CONTEXT, server.export, [])
        expect(kind in (REP_ACK, ERR_INVALID, ERR_EXT_HEADER_REQD), "LIST is answered by", rep_name(kind))


@check
def contexts_of_no_export_are_unknown(server):
    with server.negotiated("structured")[0] as connection:
        for option in BOTH:
            for name in b"no-such-export", b"x" * 4096, b"../" + server.export.encode():
                connection.refuses(option, meta_data(name, ["base:allocation"]), ERR_UNKNOWN)


@check
def meta_context_options_of_a_wrong_length_are_invalid(server):
    name = server.export.encode()
    right = meta_data(name, ["base:allocation", "base:"])
    queries_at = 4 + len(name)
    wrong = [right[:cut] for cut in range(len(right))] + [right + b"x", right + bytes(4), right + bytes(100)]
    for length in len(name) + 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFC, 0xFFFFFFFF:
        wrong.append(struct.pack(">I", length) + right[4:])
    for count in 0, 1, 3, 0x10000000, 0x40000000, 0xFFFFFFFF:
        wrong.append(right[:queries_at] + struct.pack(">I", count) + right[queries_at + 4:])
    for length in 14, 16, 24, 0x7FFFFFFF, 0xFFFFFFF8, 0xFFFFFFFF:
        wrong.append(right[:queries_at + 4] + struct.pack(">I", length) + right[queries_at + 8:])
    with server.negotiated("structured")[0] as connection:
        for option in BOTH:
            for data in wrong:
                before, kind = connection.option(option, data)
                expect(kind in (ERR_INVALID, ERR_TOO_BIG), "the answer to", data, "is", rep_name(kind))
            connection.still_haggles()


@check
def long_and_many_queries_are_ignored_refused_or_end_the_connection(server):
    for option in BOTH:
        for queries in ["x-a:" + "y" * 4092], ["x-a:" + "y" * 4093], ["x-a:" + "y" * 60000], ["base:allocation"] * 1000, \
                [f"x-many:{n}" for n in range(10000)], [""] * 60000:
            with server.negotiated("structured")[0] as connection:
                try:
                    _, kind = connection.meta(option, server.export, queries)
                    expect(kind in (REP_ACK, ERR_TOO_BIG, ERR_INVALID), len(queries), "queries:", rep_name(kind))
                    connection.still_haggles()
                except Ended:
                    expect(len(meta_data("", queries)) > 32768, "a connection ends by queries of no great size")


def status_is_invalid(server, connection):
    """GO, and BLOCK_STATUS is refused since no context is selected."""
    expect(connection.info(OPT_GO, server.export, [INFO_BLOCK_SIZE])[1] == REP_ACK, "GO fails")
    transmission = entered(server, connection, {})
    transmission.fails(Request(BLOCK_STATUS, 0, server.aligned(min(server.size, 1 << 20)) or server.size), EINVAL)
    transmission.disconnect()


def entered(server, connection, contexts):
    from transmission import Transmission
    return Transmission(connection, "structured", server.size, server.flags, contexts, server.payload_bytes_max)


@check
def a_set_that_fails_selects_nothing(server):
    for option, data in (OPT_SET_META_CONTEXT, meta_data(server.export, ["base:allocation"])[:-1]), \
            (OPT_SET_META_CONTEXT, meta_data("no-such-export", ["base:allocation"])):
        connection, got = server.negotiated("structured", ["base:allocation"])
        with connection:
            expect(got, "base:allocation was not selected")
            _, kind = connection.option(option, data)
            expect(kind & ERR, "the wrong SET is answered by", rep_name(kind))
            status_is_invalid(server, connection)


@check
def the_last_set_counts(server):
    connection, _ = server.negotiated("structured", ["base:allocation"])
    with connection:
        expect(names_of(server, OPT_SET_META_CONTEXT, [], connection) == [], "no queries select something")
        status_is_invalid(server, connection)


@check
def contexts_set_for_another_export_do_not_count(server):
    with server.greeted() as connection:
        others = [name for name in connection.list() if name != server.export]
    for other in others[:3]:
        with server.negotiated("structured")[0] as connection:
            told, kind = connection.meta(OPT_SET_META_CONTEXT, other, ["base:allocation"])
            expect(kind == REP_ACK, "SET for", other, "ends with", rep_name(kind))
            status_is_invalid(server, connection)


@check
def contexts_outlive_other_options(server):
    connection, got = server.negotiated("structured", ["base:allocation"])
    with connection:
        connection.option(OPT_STRUCTURED_REPLY)
        connection.list()
        connection.info(OPT_INFO, server.export)
        connection.info(OPT_INFO, "no-such-export")
        connection.info(OPT_GO, "no-such-export")
        connection.meta(OPT_LIST_META_CONTEXT, server.export, [])
        connection.option(88, b"unknown")
        expect(connection.info(OPT_GO, server.export)[1] == REP_ACK, "GO fails")
        transmission = entered(server, connection, got)
        transmission.succeeds(Request(BLOCK_STATUS, 0, server.size if server.size < 1 << 32 else 1 << 31))
