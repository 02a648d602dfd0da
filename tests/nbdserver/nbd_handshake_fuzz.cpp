// SPDX-License-Identifier: Apache-2.0
// Option haggling: any client's bytes, mostly options in their right form with something wrong here
// and there. However they are cut into pieces, the server says the same, in well-formed replies,
// and agrees on the same session.
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <string>

#include "nbdserver/handshake.h"
#include "tests/nbdserver/fuzz_choices.h"

namespace {

using namespace hyper;
using namespace hyper::nbd;

constexpr uint64_t disk_bytes = 1 << 20;

void require(bool condition) {
    if (!condition) std::abort();
}

class Disk : public Source {
  public:
    uint64_t size_bytes() const override { return disk_bytes; }
    Result<void> map(uint64_t, uint64_t length, PieceList& out) const override {
        out.zeros(length);
        return {};
    }
};

std::shared_ptr<const Export> make_export(const std::string& name) {
    auto exported = std::make_shared<Export>();
    exported->name = name;
    exported->description = "a disk";
    exported->source = std::make_shared<Disk>();
    exported->contexts = {allocation_context(exported->source)};
    return exported;
}

Result<std::shared_ptr<const Export>> open_export(const std::string& name) {
    static const std::shared_ptr<const Export> disk = make_export("disk"),
                                               other = make_export("dir/other");
    if (name == "disk" || name.empty()) return disk;
    if (name == "dir/other") return other;
    if (name == "broken") return fail(EIO, "broken: cannot be opened");
    return fail(ENOENT, "no such export");
}

// A name, mostly of an export.
std::string some_name(Choices& choices) {
    switch (choices.byte() % 8) {
        case 0:
            return "";
        case 1:
            return "dir/other";
        case 2:
            return "broken";
        case 3:
            return std::string(choices.number_of({4095, 4096, 4097, 300}) % 70000, 'x');
        case 4: {
            auto bytes = choices.bytes(choices.byte() % 20);
            return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
        }
        default:
            return "disk";
    }
}

std::string some_query(Choices& choices) {
    switch (choices.byte() % 8) {
        case 0:
            return "base:";
        case 1:
            return "x-none:what";
        case 2:
            return "qemu:";
        case 3:
            return std::string(choices.number_of({0, 4096, 4097}) % 5000, ':');
        default:
            return "base:allocation";
    }
}

void add_string(Stream& data, Choices& choices, const std::string& text) {
    auto length = static_cast<uint32_t>(text.size());
    if (choices.one_in(16))
        length = static_cast<uint32_t>(
            choices.number_of({0, length + 1, length - 1, 0x7fffffff, 0xffffffff}));
    data.add(be32(length));
    data.text(text);
}

void add_option(Stream& stream, Choices& choices) {
    constexpr uint32_t known[] = {OPT_EXPORT_NAME,
                                  OPT_ABORT,
                                  OPT_LIST,
                                  OPT_STARTTLS,
                                  OPT_INFO,
                                  OPT_GO,
                                  OPT_STRUCTURED_REPLY,
                                  OPT_LIST_META_CONTEXT,
                                  OPT_SET_META_CONTEXT,
                                  OPT_EXTENDED_HEADERS};
    uint8_t which = choices.byte();
    uint32_t option =
        which < 220 ? known[which % std::size(known)] : static_cast<uint32_t>(choices.number());
    Stream data;
    switch (option) {
        case OPT_EXPORT_NAME:
            data.text(some_name(choices));
            break;
        case OPT_INFO:
        case OPT_GO: {
            add_string(data, choices, some_name(choices));
            auto count = static_cast<uint16_t>(choices.byte() % 6);
            data.add(be16(choices.one_in(16) ? static_cast<uint16_t>(choices.number()) : count));
            for (unsigned i = 0; i < count; ++i) data.add(be16(choices.byte() % 6));
            break;
        }
        case OPT_LIST_META_CONTEXT:
        case OPT_SET_META_CONTEXT: {
            add_string(data, choices, some_name(choices));
            uint32_t count = choices.byte() % 5;
            data.add(be32(choices.one_in(16) ? static_cast<uint32_t>(choices.number()) : count));
            for (uint32_t i = 0; i < count; ++i) add_string(data, choices, some_query(choices));
            break;
        }
        default:
            if (choices.one_in(8)) data.append(choices.bytes(choices.byte()));
    }
    if (choices.one_in(16)) data.bytes().resize(data.size() / 2);
    if (choices.one_in(16)) data.fill(choices.byte(), 0);
    OptionHeader header;
    header.magic = choices.one_in(64) ? choices.number() : magic_option;
    header.option = option;
    header.length = choices.one_in(32)
                        ? static_cast<uint32_t>(choices.number_of({70000, 1 << 20, 0xffffffff}))
                        : static_cast<uint32_t>(data.size());
    stream.add(header);
    stream.append(data.bytes());
    if (header.length > 1 << 16 && header.length < 1 << 21 && choices.one_in(2))
        stream.fill(header.length, 'y');
}

struct Outcome {
    Bytes output;
    Handshake::Want want = Handshake::Want::input;
    size_t consumed = 0;
    Mode mode = Mode::simple;
    std::vector<uint32_t> contexts;
    std::shared_ptr<const Export> exported;

    bool operator==(const Outcome&) const = default;
};

// `pieces` says how many bytes come at a time; past its end, all the rest.
Outcome haggle(Handshake::Tls tls, std::span<const std::byte> stream, Choices pieces) {
    static const std::vector<Listed> listed = {{"disk", "a disk", "disk"},
                                               {"dir/other", "", "dir/other"}};
    Handshake handshake(tls);
    Outcome outcome;
    std::span<const std::byte> rest = stream;
    while (!rest.empty() && outcome.want == Handshake::Want::input) {
        size_t arrived =
            pieces.at_end() ? rest.size() : std::min<size_t>(rest.size(), pieces.byte() + 1);
        std::span<const std::byte> input = rest.first(arrived);
        rest = rest.subspan(arrived);
        while (!input.empty() && outcome.want == Handshake::Want::input) {
            Handshake::Want want = handshake.advance(input, outcome.output);
            if (want == Handshake::Want::list) {
                handshake.listed(listed, outcome.output);
                want = Handshake::Want::input;
            } else if (want == Handshake::Want::open) {
                want = handshake.opened(open_export(handshake.wanted_name()), outcome.output);
            } else if (want == Handshake::Want::start_tls) {
                require(tls == Handshake::Tls::required);
                handshake.tls_started();
                want = Handshake::Want::input;
            }
            outcome.want = want;
        }
        outcome.consumed += arrived - input.size();
    }
    outcome.mode = handshake.session().mode;
    outcome.exported = handshake.session().exported;
    for (const ChosenContext& chosen : handshake.session().contexts)
        outcome.contexts.push_back(chosen.id);
    return outcome;
}

// Replies in their form; behind the last one, what answers EXPORT_NAME.
void judge(const Outcome& outcome) {
    std::span<const std::byte> rest = outcome.output;
    while (rest.size() >= sizeof(OptionReplyHeader) &&
           load_be<uint64_t>(rest.data()) == magic_option_reply) {
        OptionReplyHeader header;
        std::memcpy(&header, rest.data(), sizeof header);
        rest = rest.subspan(sizeof header);
        require(header.length <= rest.size());
        require(header.type != REP_ACK || header.length == 0);
        require((header.type & 0x80000000) == 0 || header.length <= string_bytes_max);
        require(header.option != OPT_EXPORT_NAME);
        rest = rest.subspan(header.length);
    }
    bool entered = outcome.want == Handshake::Want::transmission;
    require(rest.empty() || (entered && (rest.size() == 10 || rest.size() == 134)));
    require(rest.empty() || load_be<uint64_t>(rest.data()) == disk_bytes);
    if (!entered) return;
    require(outcome.exported != nullptr);
    require(outcome.contexts.empty() || outcome.mode != Mode::simple);
    auto ids = outcome.contexts;
    std::ranges::sort(ids);
    require(std::ranges::adjacent_find(ids) == ids.end());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    Choices choices({data, size});
    auto tls = choices.one_in(4) ? Handshake::Tls::required : Handshake::Tls::none;
    Choices pieces(std::span(data, size).subspan(size - size / 4));
    Stream stream;
    stream.add(be32(static_cast<uint32_t>(choices.number_of({3, 3, 3, 1, 2, 0}))));
    while (!choices.at_end() && stream.size() < 1 << 20) add_option(stream, choices);
    if (stream.size() > 0 && choices.one_in(4)) stream.bytes().pop_back();

    Outcome whole = haggle(tls, stream.bytes(), Choices({}));
    judge(whole);
    require(haggle(tls, stream.bytes(), pieces) == whole);
    return 0;
}
