// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/handshake.h"

#include <algorithm>
#include <cerrno>

namespace hyper::nbd {

namespace {

void append(Bytes& out, std::span<const std::byte> bytes) { out.insert(out.end(), bytes.begin(), bytes.end()); }

template <class T>
void append_number(Bytes& out, T value) {
    std::byte bytes[sizeof(T)];
    store_be(bytes, value);
    append(out, bytes);
}

// Reads numbers and strings off an option's data; `ok` turns false where it ends too early.
class DataReader {
  public:
    explicit DataReader(std::span<const std::byte> data) : rest_(data) {}

    template <class T>
    T number() {
        if (rest_.size() < sizeof(T)) {
            ok_ = false;
            rest_ = {};
            return 0;
        }
        T value = load_be<T>(rest_.data());
        rest_ = rest_.subspan(sizeof(T));
        return value;
    }
    std::string string() {
        size_t length = number<uint32_t>();
        if (length > rest_.size()) {
            ok_ = false;
            length = 0;
        }
        std::string text(reinterpret_cast<const char*>(rest_.data()), length);
        rest_ = rest_.subspan(length);
        return text;
    }
    bool ok() const { return ok_; }
    bool at_end() const { return ok_ && rest_.empty(); }

  private:
    std::span<const std::byte> rest_;
    bool ok_ = true;
};

bool acceptable_name(const std::string& name) {
    return name.size() <= string_bytes_max && name.find('\0') == std::string::npos;
}

// A LIST query may end after any part of a name: "qemu:" and "qemu:dirty-bitmap:" mean all that begin so.
bool query_matches(const std::string& query, const std::string& name, bool list) {
    return name == query || (list && query.ends_with(':') && name.starts_with(query));
}

std::span<const std::byte> text_bytes(std::string_view text) {
    return bytes_of_text(text.substr(0, string_bytes_max));
}

}  // namespace

uint16_t transmission_flags(const Export& exported, Mode mode) {
    // Several connections to one export read one file through one page cache, and a flush covers all of it.
    unsigned flags = HAS_FLAGS | CAN_MULTI_CONN | SEND_CACHE;
    if (mode != Mode::simple) flags |= SEND_DF;
    if (exported.writable)
        flags |= SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES | SEND_FAST_ZERO;
    else
        flags |= READ_ONLY;
    return static_cast<uint16_t>(flags);
}

void Handshake::greet(Bytes& output) { append(output, bytes_of(Greeting{})); }

Handshake::Want Handshake::advance(std::span<const std::byte>& input, Bytes& output) {
    // Gathers `count` bytes in partial_; false while there are fewer.
    auto gather = [&](size_t count) {
        size_t taken = std::min(count - partial_.size(), input.size());
        append(partial_, input.first(taken));
        input = input.subspan(taken);
        return partial_.size() == count;
    };
    for (;;) {
        switch (state_) {
            case State::client_flags: {
                if (!gather(4)) return Want::input;
                uint32_t flags = load_be<uint32_t>(partial_.data());
                partial_.clear();
                if ((flags & ~uint32_t{FIXED_NEWSTYLE | NO_ZEROES}) != 0) return Want::close;
                fixed_ = (flags & FIXED_NEWSTYLE) != 0;
                no_zeroes_ = (flags & NO_ZEROES) != 0;
                state_ = State::header;
                break;
            }
            case State::header: {
                if (!gather(sizeof header_)) return Want::input;
                std::memcpy(&header_, partial_.data(), sizeof header_);
                partial_.clear();
                if (header_.magic != magic_option || ++options_ > options_max) return Want::close;
                skip_ = header_.length;
                state_ = skip_ > option_bytes_max ? State::skip : State::data;
                break;
            }
            case State::skip: {
                size_t taken = std::min<uint64_t>(skip_, input.size());
                input = input.subspan(taken);
                skip_ -= taken;
                if (skip_ > 0) return Want::input;
                state_ = State::header;
                if (header_.option == OPT_EXPORT_NAME || !fixed_) return Want::close;
                refuse(tls_ == Tls::required ? REP_ERR_TLS_REQD : REP_ERR_TOO_BIG, "the option is too long", output);
                break;
            }
            case State::data: {
                if (!gather(header_.length)) return Want::input;
                Bytes data = std::exchange(partial_, {});
                state_ = State::header;
                // A client of the first newstyle may choose an export, and nothing else.
                if (!fixed_ && header_.option != OPT_EXPORT_NAME) return Want::close;
                Want want = option(data, output);
                if (want != Want::input) return want;
                break;
            }
        }
    }
}

Handshake::Want Handshake::option(std::span<const std::byte> data, Bytes& output) {
    if (header_.option == OPT_ABORT) {
        reply(REP_ACK, {}, output);
        return Want::close;
    }
    if (tls_ == Tls::required && header_.option != OPT_STARTTLS) {
        if (header_.option == OPT_EXPORT_NAME) return Want::close;
        return refuse(REP_ERR_TLS_REQD, "this server wants TLS first", output);
    }
    switch (header_.option) {
        case OPT_EXPORT_NAME:
            return export_name(data);
        case OPT_LIST:
            if (!data.empty()) return refuse(REP_ERR_INVALID, "LIST has no data", output);
            return Want::list;
        case OPT_STARTTLS:
            return starttls(data, output);
        case OPT_INFO:
        case OPT_GO:
            return info_or_go(data, output);
        case OPT_STRUCTURED_REPLY:
            if (!data.empty()) return refuse(REP_ERR_INVALID, "STRUCTURED_REPLY has no data", output);
            return mode_option(Mode::structured, output);
        case OPT_EXTENDED_HEADERS:
            if (!data.empty()) return refuse(REP_ERR_INVALID, "EXTENDED_HEADERS has no data", output);
            return mode_option(Mode::extended, output);
        case OPT_LIST_META_CONTEXT:
        case OPT_SET_META_CONTEXT:
            return meta_context(data, output);
        default:
            return refuse(REP_ERR_UNSUP, "this option is not known here", output);
    }
}

Handshake::Want Handshake::export_name(std::span<const std::byte> data) {
    name_.assign(reinterpret_cast<const char*>(data.data()), data.size());
    return acceptable_name(name_) ? Want::open : Want::close;
}

Handshake::Want Handshake::info_or_go(std::span<const std::byte> data, Bytes& output) {
    DataReader reader(data);
    name_ = reader.string();
    infos_.resize(reader.number<uint16_t>());
    for (uint16_t& info : infos_) info = reader.number<uint16_t>();
    if (!reader.at_end()) return refuse(REP_ERR_INVALID, "the lengths in this option contradict its own", output);
    if (!acceptable_name(name_)) return refuse(REP_ERR_INVALID, "a name is at most 4096 bytes without NUL", output);
    return Want::open;
}

Handshake::Want Handshake::meta_context(std::span<const std::byte> data, Bytes& output) {
    // What was chosen before is gone, also where this request fails.
    if (header_.option == OPT_SET_META_CONTEXT) session_.contexts.clear();
    if (session_.mode == Mode::simple)
        return refuse(REP_ERR_INVALID, "contexts need structured replies or extended headers first", output);
    DataReader reader(data);
    name_ = reader.string();
    uint32_t count = reader.number<uint32_t>();
    queries_.clear();
    bool acceptable = acceptable_name(name_);
    while (count-- > 0 && reader.ok()) {
        queries_.push_back(reader.string());
        acceptable &= queries_.back().size() <= string_bytes_max;
    }
    if (!reader.at_end()) return refuse(REP_ERR_INVALID, "the lengths in this option contradict its own", output);
    if (!acceptable) return refuse(REP_ERR_INVALID, "names and queries are at most 4096 bytes", output);
    return Want::open;
}

Handshake::Want Handshake::mode_option(Mode mode, Bytes& output) {
    if (session_.mode == Mode::extended && mode == Mode::structured)
        return refuse(REP_ERR_EXT_HEADER_REQD, "extended headers were chosen already", output);
    if (session_.mode == mode) return refuse(REP_ERR_INVALID, "this was chosen already", output);
    session_.mode = mode;
    reply(REP_ACK, {}, output);
    return Want::input;
}

Handshake::Want Handshake::starttls(std::span<const std::byte> data, Bytes& output) {
    if (!data.empty()) return refuse(REP_ERR_INVALID, "STARTTLS has no data", output);
    if (tls_ == Tls::done) return refuse(REP_ERR_INVALID, "TLS was started already", output);
    if (tls_ == Tls::none) return refuse(REP_ERR_POLICY, "TLS is not configured on this socket", output);
    reply(REP_ACK, {}, output);
    return Want::start_tls;
}

void Handshake::tls_started() {
    tls_ = Tls::done;
    session_ = {};
}

void Handshake::listed(std::span<const Listed> exports, Bytes& output) {
    for (const Listed& item : exports) {
        Bytes data;
        append_number<uint32_t>(data, static_cast<uint32_t>(item.name.size()));
        append(data, bytes_of_text(item.name));
        append(data, text_bytes(item.description));
        reply(REP_SERVER, data, output);
    }
    reply(REP_ACK, {}, output);
}

Handshake::Want Handshake::opened(Result<std::shared_ptr<const Export>> exported, Bytes& output) {
    uint32_t option = header_.option;
    if (!exported) {
        if (option == OPT_EXPORT_NAME) return Want::close;
        // Nobody learns whether what is not allowed is there.
        bool known = exported.error().code != ENOENT && exported.error().code != EACCES;
        return refuse(REP_ERR_UNKNOWN, known ? "the export cannot be opened; the server's log says why" : "no such export",
                      output);
    }
    if (option == OPT_LIST_META_CONTEXT || option == OPT_SET_META_CONTEXT) {
        describe_contexts(**exported, output);
        return Want::input;
    }
    if (option == OPT_EXPORT_NAME) {
        enter(*exported);
        append_number<uint64_t>(output, (*exported)->size_bytes());
        append_number<uint16_t>(output, transmission_flags(**exported, session_.mode));
        if (!no_zeroes_) output.resize(output.size() + 124);
        return Want::transmission;
    }
    describe_export(**exported, output);
    reply(REP_ACK, {}, output);
    if (option == OPT_INFO) return Want::input;
    enter(*exported);
    return Want::transmission;
}

// Contexts hold for the export that they were chosen for, by the name that the client gave. What was opened then may be
// another file by now, so each is looked up anew.
void Handshake::enter(const std::shared_ptr<const Export>& exported) {
    session_.exported = exported;
    if (contexts_name_ != name_) session_.contexts.clear();
    std::erase_if(session_.contexts, [&](ChosenContext& chosen) {
        auto same = [&](const auto& context) { return context->name() == chosen.context->name(); };
        auto at = std::ranges::find_if(exported->contexts, same);
        if (at == exported->contexts.end()) return true;
        chosen.context = *at;
        return false;
    });
}

void Handshake::describe_export(const Export& exported, Bytes& output) {
    auto asked = [&](Info info) { return std::ranges::find(infos_, info) != infos_.end(); };
    Bytes data;
    append_number<uint16_t>(data, INFO_EXPORT);
    append_number<uint64_t>(data, exported.size_bytes());
    append_number<uint16_t>(data, transmission_flags(exported, session_.mode));
    reply(REP_INFO, data, output);
    if (asked(INFO_NAME)) {
        data.clear();
        append_number<uint16_t>(data, INFO_NAME);
        append(data, text_bytes(exported.name));
        reply(REP_INFO, data, output);
    }
    if (asked(INFO_DESCRIPTION) && !exported.description.empty()) {
        data.clear();
        append_number<uint16_t>(data, INFO_DESCRIPTION);
        append(data, text_bytes(exported.description));
        reply(REP_INFO, data, output);
    }
    if (asked(INFO_BLOCK_SIZE)) {
        data.clear();
        append_number<uint16_t>(data, INFO_BLOCK_SIZE);
        append_number<uint32_t>(data, 1);
        append_number<uint32_t>(data, exported.preferred_bytes);
        append_number<uint32_t>(data, payload_bytes_max);
        reply(REP_INFO, data, output);
    }
}

void Handshake::describe_contexts(const Export& exported, Bytes& output) {
    bool list = header_.option == OPT_LIST_META_CONTEXT;
    std::vector<ChosenContext> found;
    uint32_t number = 0;
    for (const auto& context : exported.contexts) {
        uint32_t id = ++number;
        bool chosen = list && queries_.empty();
        for (const std::string& query : queries_) chosen |= query_matches(query, context->name(), list);
        if (chosen) found.push_back({id, context});
    }
    if (!list && found.size() > contexts_max) {
        refuse(REP_ERR_TOO_BIG, "these are too many contexts for one connection", output);
        return;
    }
    for (const auto& [id, context] : found) {
        Bytes data;
        append_number<uint32_t>(data, list ? 0 : id);
        append(data, bytes_of_text(context->name()));
        reply(REP_META_CONTEXT, data, output);
    }
    reply(REP_ACK, {}, output);
    if (list) return;
    session_.contexts = std::move(found);
    contexts_name_ = name_;
}

void Handshake::reply(OptionReply type, std::span<const std::byte> data, Bytes& output) const {
    OptionReplyHeader header;
    header.option = header_.option;
    header.type = type;
    header.length = static_cast<uint32_t>(data.size());
    append(output, bytes_of(header));
    append(output, data);
}

Handshake::Want Handshake::refuse(OptionReply type, std::string_view why, Bytes& output) const {
    reply(type, bytes_of_text(why), output);
    return Want::input;
}

}  // namespace hyper::nbd
