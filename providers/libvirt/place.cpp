// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/place.h"

#include <algorithm>
#include <charconv>

namespace hyper::provider::libvirt {
namespace {

constexpr std::string_view scheme = "libvirt://";

tl::unexpected<Failure> bad(const std::string& uri, const std::string& why) {
    return failed(HYPER_BAD_CONFIGURATION, "libvirt: " + uri + ": " + why);
}

std::string encoded(const std::string& text) {
    constexpr std::string_view plain = "-._~/:+,=@";
    constexpr char digits[] = "0123456789ABCDEF";
    std::string out;
    for (unsigned char c : text) {
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || plain.find(static_cast<char>(c)) != plain.npos)
            out += static_cast<char>(c);
        else
            out += {'%', digits[c >> 4], digits[c & 15]};
    }
    return out;
}

bool decode(std::string_view text, std::string& out) {
    out.clear();
    for (size_t i = 0; i < text.size(); ++i) {
        if (text[i] != '%') {
            out += text[i];
            continue;
        }
        unsigned char value = 0;
        if (i + 2 >= text.size()) return false;
        auto [end, error] = std::from_chars(text.data() + i + 1, text.data() + i + 3, value, 16);
        if (error != std::errc() || end != text.data() + i + 3 || value == 0) return false;
        out += static_cast<char>(value);
        i += 2;
    }
    return true;
}

Outcome<void> set(Place& place, const std::string& uri, const std::string& key, const std::string& value) {
    if (key == "connect") {
        place.connect = value;
    } else if (key == "scratch") {
        if (!value.starts_with("/") || value.find('\n') != value.npos) return bad(uri, "scratch=" + value + ": not the full path of a folder");
        place.scratch = value;
        while (place.scratch.size() > 1 && place.scratch.back() == '/') place.scratch.pop_back();
    } else if (key == "quiesce") {
        if (value != "yes" && value != "no" && value != "auto") return bad(uri, "quiesce=" + value + ": yes, no or auto is known");
        place.quiesce = value == "yes" ? Quiesce::yes : value == "no" ? Quiesce::no : Quiesce::automatic;
    } else {
        return bad(uri, "option \"" + key + "\" is not known (connect, scratch, quiesce are)");
    }
    return {};
}

bool is_plain(std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '_';
    });
}

}  // namespace

Outcome<Place> Place::parse(const std::string& uri, const Options& options) {
    if (!uri.starts_with(scheme)) return bad(uri, "not of the form libvirt://DOMAIN/DISK");
    std::string_view rest = std::string_view(uri).substr(scheme.size());
    std::string_view path = rest.substr(0, rest.find('?'));
    std::string_view query = path.size() < rest.size() ? rest.substr(path.size() + 1) : std::string_view();

    Place place;
    std::string_view domain = path.substr(0, path.find('/'));
    std::string_view target = domain.size() < path.size() ? path.substr(domain.size() + 1) : std::string_view();
    if (!decode(domain, place.domain) || !decode(target, place.target)) return bad(uri, "a % is not followed by two hexadecimal digits");
    if (domain.empty() && !target.empty()) return bad(uri, "a disk without a domain");
    if (!target.empty() && !is_plain(place.target)) return bad(uri, "\"" + place.target + "\" is no target of a disk, as vda is");
    while (!query.empty()) {
        std::string_view pair = query.substr(0, query.find('&'));
        query.remove_prefix(std::min(query.size(), pair.size() + 1));
        size_t equals = pair.find('=');
        std::string value;
        if (equals == pair.npos || !decode(pair.substr(equals + 1), value)) return bad(uri, "\"" + std::string(pair) + "\" is no KEY=VALUE");
        if (auto done = set(place, uri, std::string(pair.substr(0, equals)), value); !done) return tl::unexpected(done.error());
    }
    for (const auto& [key, value] : options)
        if (auto done = set(place, uri, key, value); !done) return tl::unexpected(done.error());
    return place;
}

std::string Place::uri_of(const std::string& uuid) const {
    return std::string(scheme) + uuid + "?connect=" + encoded(connect) + "&scratch=" + encoded(scratch);
}

bool Place::is_local() const {
    size_t at = connect.find("://");
    return at == connect.npos || at + 3 >= connect.size() || connect[at + 3] == '/' || connect[at + 3] == '?';
}

bool Place::is_session() const {
    size_t at = connect.find("://");
    size_t path = at == connect.npos ? at : connect.find('/', at + 3);
    return path != connect.npos && connect.compare(path, 8, "/session") == 0;
}

Outcome<DiskName> DiskName::parse(const std::string& text, const Place& place) {
    size_t slash = text.rfind('/');
    DiskName name;
    if (slash == text.npos)
        name = {place.domain, text};
    else
        name = {text.substr(0, slash), text.substr(slash + 1)};
    if (name.domain.empty() || !is_plain(name.target))
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: \"" + text + "\" is no disk: DOMAIN/TARGET, as web01/vda");
    return name;
}

bool Mark::parse(const std::string& text, Mark& mark) {
    size_t first = text.find('/');
    size_t second = first == text.npos ? text.npos : text.find('/', first + 1);
    if (second == text.npos) return false;
    size_t third = std::min(text.find('/', second + 1), text.size());
    mark = {text.substr(0, first), text.substr(first + 1, second - first - 1), 0, third < text.size() ? text.substr(third + 1) : ""};
    const char *digits = text.data() + second + 1, *end = text.data() + third;
    auto parsed = std::from_chars(digits, end, mark.size_bytes);
    return parsed.ec == std::errc() && parsed.ptr == end && is_plain(mark.checkpoint) && mark.checkpoint.starts_with(tag_prefix) &&
           mark.lineage().size() > std::string_view(tag_prefix).size() && is_plain(mark.target) &&
           (third == text.size() || is_plain(mark.read));
}

}  // namespace hyper::provider::libvirt
