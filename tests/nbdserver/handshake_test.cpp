// SPDX-License-Identifier: Apache-2.0
// Option haggling, as a client hears it.
#include "blockengine/writable_file.h"
#include "nbdserver/handshake.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <string>

#include "tests/support/support.h"

namespace hyper::nbd {
namespace {

using Want = Handshake::Want;
using Tls = Handshake::Tls;

constexpr uint32_t fixed_flags = FIXED_NEWSTYLE | NO_ZEROES;

template <class... Parts>
Bytes joined(const Parts&... parts) {
    Bytes all;
    auto add = [&](std::span<const std::byte> bytes) {
        all.insert(all.end(), bytes.begin(), bytes.end());
    };
    (add(parts), ...);
    return all;
}

template <class T>
Bytes number(T value) {
    Bytes bytes(sizeof value);
    store_be(bytes.data(), value);
    return bytes;
}

Bytes text(std::string_view words) {
    return joined(bytes_of_text(words));
}
Bytes counted(std::string_view words) {
    return joined(number(static_cast<uint32_t>(words.size())), bytes_of_text(words));
}

Bytes option(uint32_t what, const Bytes& data = {}) {
    OptionHeader header{magic_option, what, static_cast<uint32_t>(data.size())};
    return joined(bytes_of(header), data);
}

Bytes info_data(std::string_view name, const std::vector<uint16_t>& infos = {}) {
    Bytes data = joined(counted(name), number(static_cast<uint16_t>(infos.size())));
    for (uint16_t info : infos) data = joined(data, number(info));
    return data;
}

Bytes meta_data(std::string_view name, const std::vector<std::string>& queries) {
    Bytes data = joined(counted(name), number(static_cast<uint32_t>(queries.size())));
    for (const std::string& query : queries) data = joined(data, counted(query));
    return data;
}

std::shared_ptr<const Export> make_export(const std::string& name) {
    auto exported = std::make_shared<Export>();
    exported->name = name;
    exported->description = "a disk";
    exported->source = test::pattern(1 << 20, {});
    exported->contexts = {allocation_context(exported->source), depth_context(exported->source)};
    return exported;
}

class NamedContext : public Context {
  public:
    using Context::Context;
    Result<void> describe(uint64_t, uint64_t, const std::function<bool(uint64_t, uint64_t)>&) const override { return {}; }
};

struct Reply {
    uint32_t option, type;
    Bytes data;
    std::string words() const { return {reinterpret_cast<const char*>(data.data()), data.size()}; }
};

// A server with the exports "disk" and "other", and "broken", which cannot be opened.
class Talk {
  public:
    explicit Talk(Tls tls = Tls::none, uint32_t client_flags = fixed_flags) : handshake(tls) {
        say(number(client_flags));
    }

    // What the server wants after it took all of these bytes, `step` at a time, or the first thing
    // that ends the talk.
    Want say(const Bytes& bytes, size_t step = SIZE_MAX) {
        std::span<const std::byte> rest = bytes;
        while (!rest.empty() && want == Want::input) {
            std::span<const std::byte> part = rest.first(std::min(step, rest.size()));
            rest = rest.subspan(part.size());
            do want = answered(handshake.advance(part, output));
            while (want == Want::input && !part.empty());
        }
        return want;
    }

    // The replies since the last call.
    std::vector<Reply> replies() {
        std::vector<Reply> all;
        std::span<const std::byte> rest = output;
        while (rest.size() >= sizeof(OptionReplyHeader)) {
            OptionReplyHeader header;
            std::memcpy(&header, rest.data(), sizeof header);
            EXPECT_EQ(header.magic, magic_option_reply);
            rest = rest.subspan(sizeof header);
            all.push_back({header.option, header.type, joined(rest.first(header.length))});
            rest = rest.subspan(header.length);
        }
        EXPECT_TRUE(rest.empty());
        output.clear();
        return all;
    }
    // The type of the only reply to an option.
    uint32_t answer(const Bytes& bytes) {
        say(bytes);
        auto all = replies();
        EXPECT_EQ(all.size(), 1u);
        return all.empty() ? 0 : all.back().type;
    }

    Handshake handshake;
    Bytes output;
    Want want = Want::input;

  private:
    Want answered(Want wanted) {
        const std::vector<Listed> exports{{"disk", "a disk", "disk"}, {"other", "", "other"}};
        if (wanted == Want::list) {
            handshake.listed(exports, output);
            return Want::input;
        }
        if (wanted == Want::start_tls) {
            handshake.tls_started();
            return Want::input;
        }
        if (wanted != Want::open) return wanted;
        const std::string& name = handshake.wanted_name();
        if (name == "broken") return handshake.opened(fail(EIO, "broken"), output);
        if (name == "hidden") return handshake.opened(fail(EACCES, "hidden"), output);
        if (name != "disk" && name != "other")
            return handshake.opened(fail(ENOENT, "unknown"), output);
        return handshake.opened(make_export(name), output);
    }
};

const Bytes structured = option(OPT_STRUCTURED_REPLY);
const Bytes go = option(OPT_GO, info_data("disk"));
Bytes choose(std::string_view name, const std::vector<std::string>& queries = {"base:allocation"}) {
    return option(OPT_SET_META_CONTEXT, meta_data(name, queries));
}

TEST(Handshake, greets_with_both_magics_and_its_flags) {
    Bytes output;
    Handshake::greet(output);
    EXPECT_EQ(output, joined(text("NBDMAGICIHAVEOPT"), number<uint16_t>(3)));
}

TEST(Handshake, says_the_same_however_its_input_is_cut) {
    Bytes all = joined(option(OPT_LIST), option(99, text("?")), structured, choose("disk"),
                       option(OPT_LIST, Bytes(70000)),
                       option(OPT_INFO, info_data("disk", {INFO_NAME, INFO_BLOCK_SIZE})), go);
    Talk whole;
    EXPECT_EQ(whole.say(all), Want::transmission);
    for (size_t step : {1, 2, 7, 100}) {
        Talk cut;
        EXPECT_EQ(cut.say(all, step), Want::transmission) << step;
        EXPECT_EQ(cut.output, whole.output) << step;
        EXPECT_EQ(cut.handshake.session().contexts.size(),
                  whole.handshake.session().contexts.size())
            << step;
    }
}

TEST(Handshake, leaves_what_follows_go_to_the_transmission) {
    Talk talk;
    Bytes all = joined(go, text("a request"));
    std::span<const std::byte> input = all;
    ASSERT_EQ(talk.handshake.advance(input, talk.output), Want::open);
    ASSERT_EQ(talk.handshake.opened(make_export("disk"), talk.output), Want::transmission);
    EXPECT_EQ(joined(input), text("a request"));
}

TEST(Handshake, hangs_up_on_unknown_client_flags) {
    for (uint32_t bit = 2; bit < 32; ++bit)
        EXPECT_EQ(Talk(Tls::none, 3u | 1u << bit).want, Want::close) << bit;
}

TEST(Handshake, hangs_up_on_a_wrong_magic) {
    Bytes wrong = option(OPT_LIST);
    wrong[7] ^= std::byte{1};
    EXPECT_EQ(Talk().say(wrong), Want::close);
}

TEST(Handshake, lets_a_client_without_fixed_newstyle_only_enter_an_export) {
    EXPECT_EQ(Talk(Tls::none, 0).say(option(OPT_LIST)), Want::close);
    EXPECT_EQ(Talk(Tls::none, 0).say(option(OPT_EXPORT_NAME, text("disk"))), Want::transmission);
}

TEST(Handshake, answers_export_name_with_124_zeroes_unless_they_are_not_wanted) {
    Bytes answer = joined(number<uint64_t>(1 << 20),
                          number<uint16_t>(transmission_flags(*make_export("disk"), Mode::simple)));
    Talk without(Tls::none, FIXED_NEWSTYLE | NO_ZEROES), with(Tls::none, FIXED_NEWSTYLE);
    EXPECT_EQ(without.say(option(OPT_EXPORT_NAME, text("disk"))), Want::transmission);
    EXPECT_EQ(with.say(option(OPT_EXPORT_NAME, text("disk"))), Want::transmission);
    EXPECT_EQ(without.output, answer);
    EXPECT_EQ(with.output, joined(answer, Bytes(124)));
}

TEST(Handshake, hangs_up_when_export_name_names_nothing) {
    for (std::string name : {"nosuch", "broken", "hidden"}) {
        Talk talk;
        EXPECT_EQ(talk.say(option(OPT_EXPORT_NAME, text(name))), Want::close) << name;
        EXPECT_TRUE(talk.output.empty()) << name;
    }
}

TEST(Handshake, acknowledges_abort_and_hangs_up) {
    for (Tls tls : {Tls::none, Tls::required}) {
        Talk talk(tls);
        EXPECT_EQ(talk.answer(option(OPT_ABORT)), REP_ACK);
        EXPECT_EQ(talk.want, Want::close);
    }
}

TEST(Handshake, lists_each_export_with_its_description) {
    Talk talk;
    talk.say(option(OPT_LIST));
    auto replies = talk.replies();
    ASSERT_EQ(replies.size(), 3u);
    EXPECT_EQ(replies[0].type, REP_SERVER);
    EXPECT_EQ(replies[0].data, joined(counted("disk"), text("a disk")));
    EXPECT_EQ(replies[1].data, counted("other"));
    EXPECT_EQ(replies[2].type, REP_ACK);
}

TEST(Handshake, refuses_data_where_an_option_has_none) {
    Talk talk;
    for (uint32_t what : {OPT_LIST, OPT_STARTTLS, OPT_STRUCTURED_REPLY, OPT_EXTENDED_HEADERS})
        EXPECT_EQ(talk.answer(option(what, text("x"))), REP_ERR_INVALID) << what;
}

TEST(Handshake, does_not_support_unknown_options) {
    Talk talk;
    for (uint32_t what : {0u, 4u, 12u, 0xffffffffu})
        EXPECT_EQ(talk.answer(option(what, text("x"))), REP_ERR_UNSUP) << what;
}

TEST(Handshake, info_tells_size_and_flags_and_what_else_is_asked_for) {
    Talk talk;
    EXPECT_EQ(talk.say(option(OPT_INFO,
                              info_data("disk", {INFO_NAME, INFO_DESCRIPTION, INFO_BLOCK_SIZE}))),
              Want::input);
    auto replies = talk.replies();
    ASSERT_EQ(replies.size(), 5u);
    uint16_t flags = transmission_flags(*make_export("disk"), Mode::simple);
    EXPECT_EQ(replies[0].data,
              joined(number<uint16_t>(INFO_EXPORT), number<uint64_t>(1 << 20), number(flags)));
    EXPECT_EQ(replies[1].data, joined(number<uint16_t>(INFO_NAME), text("disk")));
    EXPECT_EQ(replies[2].data, joined(number<uint16_t>(INFO_DESCRIPTION), text("a disk")));
    EXPECT_EQ(replies[3].data, joined(number<uint16_t>(INFO_BLOCK_SIZE), number<uint32_t>(1),
                                      number<uint32_t>(4096), number(payload_bytes_max)));
    EXPECT_EQ(replies[4].type, REP_ACK);
}

TEST(Handshake, info_and_go_refuse_lengths_that_contradict_each_other) {
    Bytes good = info_data("disk", {INFO_NAME});
    Talk talk;
    for (uint32_t what : {OPT_INFO, OPT_GO}) {
        for (size_t length = 0; length < good.size(); ++length)
            EXPECT_EQ(talk.answer(option(what, joined(std::span(good).first(length)))),
                      REP_ERR_INVALID)
                << length;
        EXPECT_EQ(talk.answer(option(what, joined(good, text("x")))), REP_ERR_INVALID);
        EXPECT_EQ(talk.answer(option(what, joined(number<uint32_t>(0xffffffff), text("disk")))),
                  REP_ERR_INVALID);
    }
}

TEST(Handshake, refuses_names_that_are_too_long_or_hold_nul) {
    Talk talk;
    for (const std::string& name :
         {std::string(string_bytes_max + 1, 'x'), std::string("di\0sk", 5)}) {
        EXPECT_EQ(talk.answer(option(OPT_GO, info_data(name))), REP_ERR_INVALID);
        EXPECT_EQ(Talk().say(option(OPT_EXPORT_NAME, text(name))), Want::close);
    }
}

TEST(Handshake, tells_nobody_what_is_hidden_from_what_is_not_there) {
    Talk talk;
    talk.say(joined(option(OPT_GO, info_data("hidden")), option(OPT_GO, info_data("nosuch"))));
    auto replies = talk.replies();
    ASSERT_EQ(replies.size(), 2u);
    EXPECT_EQ(replies[0].type, REP_ERR_UNKNOWN);
    EXPECT_EQ(replies[0].type, replies[1].type);
    EXPECT_EQ(replies[0].data, replies[1].data);
}

TEST(Handshake, goes_on_after_an_export_that_cannot_be_opened) {
    Talk talk;
    EXPECT_EQ(talk.answer(option(OPT_GO, info_data("broken"))), REP_ERR_UNKNOWN);
    EXPECT_EQ(talk.say(go), Want::transmission);
}

TEST(Handshake, skips_an_option_that_is_too_long_and_says_so) {
    Talk talk;
    EXPECT_EQ(talk.answer(option(OPT_INFO, Bytes(Handshake::option_bytes_max + 1))),
              REP_ERR_TOO_BIG);
    EXPECT_EQ(talk.answer(option(99, Bytes(Handshake::option_bytes_max))), REP_ERR_UNSUP);
    EXPECT_EQ(talk.say(go), Want::transmission);
}

TEST(Handshake, hangs_up_on_an_export_name_that_is_too_long) {
    Talk talk;
    EXPECT_EQ(talk.say(option(OPT_EXPORT_NAME, Bytes(Handshake::option_bytes_max + 1))),
              Want::close);
    EXPECT_TRUE(talk.output.empty());
}

TEST(Handshake, hangs_up_after_so_many_options) {
    Talk talk;
    for (unsigned i = 0; i < Handshake::options_max; ++i)
        ASSERT_EQ(talk.say(option(99)), Want::input) << i;
    EXPECT_EQ(talk.say(option(99)), Want::close);
}

TEST(Handshake, a_mode_is_chosen_once_and_extended_is_the_last_word) {
    Talk talk;
    EXPECT_EQ(talk.answer(structured), REP_ACK);
    EXPECT_EQ(talk.answer(structured), REP_ERR_INVALID);
    EXPECT_EQ(talk.answer(option(OPT_EXTENDED_HEADERS)), REP_ACK);
    EXPECT_EQ(talk.answer(option(OPT_EXTENDED_HEADERS)), REP_ERR_INVALID);
    EXPECT_EQ(talk.answer(structured), REP_ERR_EXT_HEADER_REQD);
    EXPECT_EQ(talk.say(go), Want::transmission);
    EXPECT_EQ(talk.handshake.session().mode, Mode::extended);
}

TEST(Handshake, contexts_need_structured_replies) {
    Talk talk;
    EXPECT_EQ(talk.answer(choose("disk")), REP_ERR_INVALID);
    EXPECT_EQ(talk.answer(option(OPT_LIST_META_CONTEXT, meta_data("disk", {}))), REP_ERR_INVALID);
}

TEST(Handshake, lists_all_contexts_without_a_query_and_those_of_a_namespace_with_one) {
    auto listed = [](const std::vector<std::string>& queries) {
        Talk talk;
        talk.say(joined(structured, option(OPT_LIST_META_CONTEXT, meta_data("disk", queries))));
        std::string names;
        for (const Reply& reply : talk.replies())
            if (reply.type == REP_META_CONTEXT) names += reply.words().substr(4) + " ";
        return names;
    };
    EXPECT_EQ(listed({}), "base:allocation qemu:allocation-depth ");
    EXPECT_EQ(listed({"qemu:"}), "qemu:allocation-depth ");
    EXPECT_EQ(listed({"base:allocation", "base:"}), "base:allocation ");
    EXPECT_EQ(listed({"base"}), "");
}

TEST(Handshake, chooses_contexts_by_their_whole_name_only) {
    Talk talk;
    talk.say(joined(structured, choose("disk", {"base:", "qemu:allocation-depth", "x:y"}), go));
    const auto& contexts = talk.handshake.session().contexts;
    ASSERT_EQ(contexts.size(), 1u);
    EXPECT_EQ(contexts[0].context->name(), "qemu:allocation-depth");
}

TEST(Handshake, a_client_chooses_so_many_contexts_at_most) {
    auto exported = std::make_shared<Export>(*make_export("disk"));
    auto name = [](size_t i) { return "x:" + std::to_string(i); };
    for (size_t i = 0; i < 100; ++i) exported->contexts.push_back(std::make_shared<NamedContext>(name(i)));
    for (size_t count : {Handshake::contexts_max, Handshake::contexts_max + 1}) {
        std::vector<std::string> names;
        for (size_t i = 0; i < count; ++i) names.push_back(name(i));
        for (uint32_t what : {OPT_LIST_META_CONTEXT, OPT_SET_META_CONTEXT}) {
            Handshake handshake(Tls::none);
            Bytes output, talk = joined(number(fixed_flags), structured, option(what, meta_data("disk", names)));
            std::span<const std::byte> input = talk;
            ASSERT_EQ(handshake.advance(input, output), Want::open);
            output.clear();
            handshake.opened(exported, output);
            bool refused = what == OPT_SET_META_CONTEXT && count > Handshake::contexts_max;
            OptionReplyHeader first;
            std::memcpy(&first, output.data(), sizeof first);
            EXPECT_EQ(first.type, refused ? uint32_t{REP_ERR_TOO_BIG} : uint32_t{REP_META_CONTEXT}) << count;
            EXPECT_EQ(handshake.session().contexts.size(), what == OPT_SET_META_CONTEXT && !refused ? count : 0);
        }
    }
}

TEST(Handshake, keeps_contexts_over_other_options) {
    Talk talk;
    talk.say(joined(structured, choose("disk"), option(OPT_INFO, info_data("other")),
                    option(OPT_LIST), option(99), go));
    EXPECT_EQ(talk.handshake.session().contexts.size(), 1u);
}

TEST(Handshake, drops_contexts_of_another_name) {
    Talk talk;
    EXPECT_EQ(talk.say(joined(structured, choose("other"), go)), Want::transmission);
    EXPECT_TRUE(talk.handshake.session().contexts.empty());
}

TEST(Handshake, a_request_for_contexts_that_fails_drops_those_chosen_before) {
    for (const Bytes& failing : {choose("nosuch"), option(OPT_SET_META_CONTEXT, text("x"))}) {
        Talk talk;
        EXPECT_EQ(talk.say(joined(structured, choose("disk"), failing, go)), Want::transmission);
        EXPECT_TRUE(talk.handshake.session().contexts.empty());
    }
}

TEST(Handshake, starts_tls_only_where_it_is_configured_and_once) {
    EXPECT_EQ(Talk().answer(option(OPT_STARTTLS)), REP_ERR_POLICY);
    Talk talk(Tls::required);
    EXPECT_EQ(talk.answer(option(OPT_STARTTLS)), REP_ACK);
    EXPECT_EQ(talk.answer(option(OPT_STARTTLS)), REP_ERR_INVALID);
}

TEST(Handshake, listens_to_nothing_else_before_tls_that_is_required) {
    Talk talk(Tls::required);
    for (const Bytes& bytes : {option(OPT_LIST), structured, option(OPT_EXTENDED_HEADERS), go,
                               choose("disk"), option(99), option(OPT_INFO, info_data("disk")),
                               option(OPT_LIST_META_CONTEXT, meta_data("disk", {})),
                               option(OPT_INFO, Bytes(Handshake::option_bytes_max + 1))})
        EXPECT_EQ(talk.answer(bytes), REP_ERR_TLS_REQD);
    EXPECT_EQ(talk.say(option(OPT_EXPORT_NAME, text("disk"))), Want::close);
}

TEST(Handshake, forgets_at_tls_what_was_said_before) {
    // Nothing can be agreed on before where TLS is required; were it, as of a server's mistake, it
    // would be gone.
    Talk talk;
    talk.say(joined(structured, choose("disk")));
    talk.handshake.tls_started();
    EXPECT_EQ(talk.say(go), Want::transmission);
    EXPECT_EQ(talk.handshake.session().mode, Mode::simple);
    EXPECT_TRUE(talk.handshake.session().contexts.empty());
}

TEST(Handshake, offers_writing_only_of_what_can_be_written) {
    test::ScratchDir scratch;
    test::write_file(scratch.path("disk"), Bytes(4096));
    auto file = WritableFile::open(scratch.path("disk"), test::engine().io());
    ASSERT_TRUE(file);
    auto exported = std::make_shared<Export>(*make_export("disk"));
    EXPECT_EQ(transmission_flags(*exported, Mode::simple),
              HAS_FLAGS | READ_ONLY | CAN_MULTI_CONN | SEND_CACHE);
    exported->writable = *file;
    EXPECT_EQ(transmission_flags(*exported, Mode::structured),
              HAS_FLAGS | CAN_MULTI_CONN | SEND_CACHE | SEND_DF | SEND_FLUSH | SEND_FUA |
                  SEND_TRIM | SEND_WRITE_ZEROES | SEND_FAST_ZERO);
}

}  // namespace
}  // namespace hyper::nbd
