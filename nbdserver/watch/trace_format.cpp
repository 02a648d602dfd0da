// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/trace_format.h"

#include <cerrno>
#include <charconv>
#include <cstring>

namespace hyper::watch {

namespace {

constexpr std::string_view first_line = "hypernbd-trace 1", left_out_word = "left-out ";
// A name of 4096 bytes, NBD's longest, all of them escaped, and eight numbers.
constexpr size_t line_bytes_max = 16 << 10;

// The field up to the next space, which is taken off `rest` with it.
std::string_view take_field(std::string_view& rest) {
    size_t end = std::min(rest.find(' '), rest.size());
    std::string_view field = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return field;
}

template <class T>
bool take_number(std::string_view& rest, T& number) {
    std::string_view field = take_field(rest);
    auto [end, error] = std::from_chars(field.data(), field.data() + field.size(), number);
    return error == std::errc() && end == field.data() + field.size();
}

bool take_command(std::string_view& rest, Command& command) {
    std::string_view field = take_field(rest);
    for (size_t i = 0; i < command_count; ++i) {
        command = static_cast<Command>(i);
        if (field == command_name(command)) return true;
    }
    return false;
}

bool unescape(std::string_view text, std::string& name) {
    name.clear();
    for (size_t i = 0; i < text.size(); ++i) {
        unsigned value = static_cast<unsigned char>(text[i]);
        if (text[i] == '%') {
            if (i + 2 >= text.size()) return false;
            auto [end, error] = std::from_chars(&text[i + 1], &text[i + 1] + 2, value, 16);
            if (error != std::errc() || end != &text[i + 1] + 2) return false;
            i += 2;
        }
        name += static_cast<char>(value);
    }
    return true;
}

}  // namespace

std::string trace_head() {
    return std::string(first_line) +
           "\n# start_ns client command flags offset length errno latency_ns export\n";
}

std::string escape_export(std::string_view name) {
    std::string text;
    for (unsigned char c : name) {
        if (c <= 0x20 || c == 0x7f || c == '%')
            text += fmt::format("%{:02X}", c);
        else
            text += static_cast<char>(c);
    }
    return text;
}

void append_trace_line(std::string& to, const TracedRequest& r, std::string_view export_text) {
    fmt::format_to(std::back_inserter(to), "{} {} {} {} {} {} {} {} {}\n", r.start_ns, r.client_id,
                   command_name(r.command), r.flags, r.offset, r.length, r.error, r.latency_ns,
                   export_text);
}

void append_left_out_line(std::string& to, uint64_t requests) {
    fmt::format_to(std::back_inserter(to), "{}{}\n", left_out_word, requests);
}

Result<TraceReader> TraceReader::open(const std::string& path) {
    FILE* file = std::fopen(path.c_str(), "re");
    if (file == nullptr) return fail(errno, "trace {}: open: {}", path, errno_text(errno));
    TraceReader reader(path, file);
    reader.line_ = std::make_unique<char[]>(line_bytes_max);
    auto head = TRY(reader.next_line());
    if (!head || *head != first_line)
        return fail(EINVAL, "trace {}: does not begin with \"{}\"; no trace, or of another version",
                    path, first_line);
    return reader;
}

Result<std::optional<std::string_view>> TraceReader::next_line() {
    if (std::fgets(line_.get(), line_bytes_max, file_.get()) == nullptr) {
        if (std::ferror(file_.get()))
            return fail(errno, "trace {}: read: {}", path_, errno_text(errno));
        return std::nullopt;
    }
    ++line_number_;
    std::string_view line(line_.get());
    if (!line.ends_with('\n'))
        return fail(EINVAL, "trace {}: line {}: broken off, or longer than {} bytes", path_,
                    line_number_, line_bytes_max - 2);
    line.remove_suffix(1);
    return line;
}

Result<std::optional<TraceReader::Entry>> TraceReader::next() {
    while (auto line = TRY(next_line())) {
        std::string_view rest = *line;
        if (rest.starts_with('#')) continue;
        if (rest.starts_with(left_out_word)) {
            uint64_t requests = 0;
            rest.remove_prefix(left_out_word.size());
            if (!take_number(rest, requests))
                return fail(EINVAL, "trace {}: line {}: no number", path_, line_number_);
            left_out_ += requests;
            continue;
        }
        Entry entry;
        TracedRequest& r = entry.request;
        if (!take_number(rest, r.start_ns) || !take_number(rest, r.client_id) ||
            !take_command(rest, r.command) || !take_number(rest, r.flags) ||
            !take_number(rest, r.offset) || !take_number(rest, r.length) ||
            !take_number(rest, r.error) || !take_number(rest, r.latency_ns) ||
            !unescape(rest, entry.export_name))
            return fail(EINVAL, "trace {}: line {}: not a request: \"{}\"", path_, line_number_,
                        *line);
        return entry;
    }
    return std::nullopt;
}

}  // namespace hyper::watch
