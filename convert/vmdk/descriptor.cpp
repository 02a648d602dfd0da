// SPDX-License-Identifier: Apache-2.0
#include "convert/vmdk/descriptor.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <optional>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "convert/vmdk/layout.h"

namespace hyper::vmdk {

namespace {

// Each sparse or flat extent holds a file open: 8 TiB in extents of 2 GiB.
constexpr size_t extents_max = 4096;

std::string_view trim(std::string_view text) {
    size_t first = text.find_first_not_of(" \t\r"), last = text.find_last_not_of(" \t\r");
    return first == std::string_view::npos ? std::string_view() : text.substr(first, last - first + 1);
}

// Takes the first word off `text`.
std::string_view next_word(std::string_view& text) {
    text = trim(text);
    std::string_view word = text.substr(0, text.find_first_of(" \t"));
    text = trim(text.substr(word.size()));
    return word;
}

template <class T>
std::optional<T> parse_number(std::string_view text, int base) {
    T value{};
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
    if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

std::string_view unquote(std::string_view text) {
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') return text.substr(1, text.size() - 2);
    return text;
}

bool equals_any(std::string_view word, std::initializer_list<std::string_view> words) {
    return std::find(words.begin(), words.end(), word) != words.end();
}

// Reads one descriptor line by line.
class Parser {
  public:
    explicit Parser(std::string_view path) : path_(path) {}

    Result<Descriptor> parse(std::string_view text) {
        text = text.substr(0, text.find('\0'));
        for (; !text.empty(); ++line_number_) {
            std::string_view line = text.substr(0, text.find('\n'));
            text.remove_prefix(std::min(text.size(), line.size() + 1));
            line = trim(line);
            if (!line.empty() && line.front() != '#') TRY(parse_line(line));
        }
        if (!seen_version_) return fail(EINVAL, "{}: descriptor: no line \"version=\": not a VMDK", path_);
        if (!seen_cid_) return fail(EINVAL, "{}: descriptor: no line \"CID=\"", path_);
        if (result_.create_type.empty()) return fail(EINVAL, "{}: descriptor: no line \"createType=\"", path_);
        if (result_.extents.empty()) return fail(EINVAL, "{}: descriptor: no extent line", path_);
        return std::move(result_);
    }

  private:
    template <class... Args>
    tl::unexpected<Error> fail_line(int code, fmt::format_string<Args...> format, Args&&... args) {
        return fail(code, "{}: descriptor line {}: {}", path_, line_number_,
                    fmt::format(format, std::forward<Args>(args)...));
    }

    Result<void> parse_line(std::string_view line) {
        if (std::any_of(line.begin(), line.end(), [](char c) { return (c >= 0 && c < ' ' && c != '\t') || c == 127; }))
            return fail_line(EINVAL, "a control character: not a VMDK descriptor");
        std::string_view rest = line, first = next_word(rest);
        if (equals_any(first, {"RW", "RDONLY", "NOACCESS"})) return parse_extent(first, rest);
        size_t equals = line.find('=');
        if (equals == std::string_view::npos)
            return fail_line(EINVAL, "\"{}\" is neither an extent nor a name=value line", line.substr(0, 60));
        return parse_setting(trim(line.substr(0, equals)), unquote(trim(line.substr(equals + 1))));
    }

    Result<void> parse_setting(std::string_view name, std::string_view value) {
        if (name != "version" && !seen_version_)
            return fail_line(EINVAL, "\"{}\" stands before \"version=\": not a VMDK descriptor", name.substr(0, 60));
        if (name == "version") {
            if (!equals_any(value, {"1", "2", "3"}))
                return fail_line(ENOTSUP, "version \"{}\" is not read (known are 1 to 3)", value);
            seen_version_ = true;
        } else if (name == "CID" || name == "parentCID") {
            auto cid = value.size() <= 8 ? parse_number<uint32_t>(value, 16) : std::nullopt;
            if (!cid) return fail_line(EINVAL, "{} \"{}\" is not a number of 8 hexadecimal digits", name, value);
            (name == "CID" ? result_.cid : result_.parent_cid) = *cid;
            seen_cid_ |= name == "CID";
        } else if (name == "createType") {
            return parse_create_type(value);
        } else if (name == "parentFileNameHint") {
            result_.parent_hint = value;
        } else if (name == "ddb.adapterType") {
            result_.adapter_type = value;
        } else if (name == "ddb.virtualHWVersion") {
            result_.hardware_version = value;
        } else if (name.starts_with("encryption.") || name == "keyPolicy") {
            return fail_line(ENOTSUP, "{}: encrypted disks are not read", name);
        }
        return {};
    }

    Result<void> parse_create_type(std::string_view type) {
        if (equals_any(type, {"seSparse", "SESparse", "vmfsSparse", "vmfsThinSparse"}))
            return fail_line(ENOTSUP, "createType \"{}\" (a snapshot as ESXi writes it) is not read", type);
        if (equals_any(type, {"vmfsRaw", "vmfsRDM", "vmfsRDMP", "vmfsRawDeviceMap", "vmfsPassthroughRawDeviceMap",
                              "fullDevice", "partitionedDevice"}))
            return fail_line(ENOTSUP, "createType \"{}\" (a device) is not read", type);
        if (!equals_any(type, {"monolithicSparse", "monolithicFlat", "twoGbMaxExtentSparse", "twoGbMaxExtentFlat",
                               "streamOptimized", "vmfs", "custom"}))
            return fail_line(ENOTSUP, "createType \"{}\" is not known", type);
        result_.create_type = type;
        return {};
    }

    Result<void> parse_extent(std::string_view access, std::string_view rest) {
        if (access == "NOACCESS") return fail_line(ENOTSUP, "extent access NOACCESS: this extent may not be read");
        if (result_.extents.size() == extents_max)
            return fail_line(EINVAL, "more than {} extents", extents_max);
        ExtentLine extent;
        std::string_view count = next_word(rest), type = next_word(rest);
        auto sectors = parse_number<uint64_t>(count, 10);
        constexpr uint64_t sectors_max = disk_bytes_max / sector_bytes;
        if (!sectors || *sectors == 0) return fail_line(EINVAL, "extent size \"{}\" is not a number of sectors", count);
        if (*sectors > sectors_max - result_.sectors)
            return fail_line(EFBIG, "extent size {}: the disk is larger than 64 TiB", *sectors);
        extent.sectors = *sectors;
        result_.sectors += *sectors;
        if (type == "ZERO") {
            if (!rest.empty()) return fail_line(EINVAL, "extent type ZERO takes no file name");
            result_.extents.push_back(std::move(extent));
            return {};
        }
        if (type == "SPARSE")
            extent.type = ExtentLine::Type::sparse;
        else if (type == "FLAT" || type == "VMFS")
            extent.type = ExtentLine::Type::flat;
        else
            return fail_line(ENOTSUP, "extent type \"{}\" is not read (known are FLAT, SPARSE, VMFS and ZERO)", type);
        size_t close = rest.size() > 1 && rest[0] == '"' ? rest.find('"', 1) : std::string_view::npos;
        if (close == std::string_view::npos) return fail_line(EINVAL, "the extent's file name is not in quotes");
        TRY(check_file_name(rest.substr(1, close - 1)));
        extent.file_name = rest.substr(1, close - 1);
        rest = trim(rest.substr(close + 1));
        if (extent.type == ExtentLine::Type::flat && !(rest.empty() && type == "VMFS")) {
            auto offset = parse_number<uint64_t>(rest, 10);
            if (!offset || *offset > UINT64_MAX / sector_bytes)
                return fail_line(EINVAL, "extent offset \"{}\" is not a number of sectors", rest);
            extent.file_offset_sectors = *offset;
        } else if (!rest.empty()) {
            return fail_line(EINVAL, "\"{}\" after the extent's file name", rest.substr(0, 60));
        }
        result_.extents.push_back(std::move(extent));
        return {};
    }

    // Extents lie beside their descriptor, always.
    Result<void> check_file_name(std::string_view name) {
        if (name.empty()) return fail_line(EINVAL, "the extent's file name is empty");
        if (name == "." || name == ".." || name.find_first_of("/\\") != std::string_view::npos)
            return fail_line(EPERM, "extent file name \"{}\": \"/\", \"\\\" and \"..\" are refused; "
                             "extents lie in the descriptor's own folder", name);
        return {};
    }

    std::string_view path_;
    size_t line_number_ = 1;
    bool seen_version_ = false, seen_cid_ = false;
    Descriptor result_;
};

// ddb.uuid: "60 00 C2 9x xx xx xx xx-xx xx xx xx xx xx xx xx", where 60 00 C2 9 says VMware.
std::string disk_uuid(const Identity& identity) {
    Hash128 uuid = identity.derive("vmdk uuid");
    uuid[0] = std::byte{0x60};
    uuid[1] = std::byte{0x00};
    uuid[2] = std::byte{0xc2};
    uuid[3] = (uuid[3] & std::byte{0x0f}) | std::byte{0x90};
    std::string text;
    for (size_t i = 0; i < uuid.size(); ++i) {
        if (i > 0) text += i == 8 ? '-' : ' ';
        text += fmt::format("{:02x}", static_cast<unsigned>(uuid[i]));
    }
    return text;
}

}  // namespace

Result<Descriptor> parse_descriptor(std::string_view path, std::string_view text) {
    return Parser(path).parse(text);
}

std::string quotable(std::string_view file_name) {
    std::string name(file_name);
    for (char& c : name)
        if (c < ' ' || c > '~' || c == '"' || c == '/' || c == '\\') c = '_';
    return name;
}

std::string write_descriptor(const ViewInput& input, std::string_view create_type, std::string_view extent) {
    constexpr uint64_t heads = 255, track_sectors = 63;
    uint64_t sectors = input.disk->size_bytes() / sector_bytes;
    Hash128 content = input.identity.derive("vmdk content id");
    // A CID of ffffffff would mean "none", and fffffffe is kept by VMware.
    if (load_be<uint32_t>(&content[12]) >= 0xfffffffe) content[12] = std::byte{0};
    std::string text = fmt::format(
        "# Disk DescriptorFile\nversion=1\nCID={}\nparentCID=ffffffff\ncreateType=\"{}\"\n\n"
        "# Extent description\n{}\n\n# The Disk Data Base\n#DDB\n\n"
        "ddb.adapterType = \"lsilogic\"\nddb.geometry.cylinders = \"{}\"\nddb.geometry.heads = \"{}\"\n"
        "ddb.geometry.sectors = \"{}\"\nddb.longContentID = \"{}\"\n",
        hex(std::span(content).subspan(12)), create_type, extent, divide_up(sectors, heads * track_sectors), heads,
        track_sectors, hex(content));
    // A stream's descriptor is kept to one sector, so it goes without.
    if (create_type != "streamOptimized") text += fmt::format("ddb.uuid = \"{}\"\n", disk_uuid(input.identity));
    return text + "ddb.virtualHWVersion = \"7\"\n";
}

}  // namespace hyper::vmdk
