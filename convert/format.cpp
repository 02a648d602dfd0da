// SPDX-License-Identifier: Apache-2.0
#include "convert/format.h"

namespace hyper {

namespace {

struct Suffix {
    std::string_view suffix;
    Format format;
};

constexpr Suffix suffixes[] = {
    {".raw", Format::raw},   {".img", Format::raw},   {".qcow2", Format::qcow2}, {".vmdk", Format::vmdk},
    {".vhd", Format::vhd},   {".vpc", Format::vhd},   {".avhd", Format::vhd},    {".vhdx", Format::vhdx},
    {".avhdx", Format::vhdx}, {".volume", Format::volume},
};

const Suffix* suffix_of(std::string_view file_name) {
    for (const Suffix& s : suffixes)
        if (file_name.size() > s.suffix.size() && file_name.ends_with(s.suffix)) return &s;
    return nullptr;
}

}  // namespace

std::string_view format_name(Format format) {
    switch (format) {
        case Format::raw: return "raw";
        case Format::qcow2: return "qcow2";
        case Format::vmdk: return "vmdk";
        case Format::vhd: return "vhd";
        case Format::vhdx: return "vhdx";
        case Format::volume: return "volume";
    }
    return "?";
}

std::optional<Format> parse_format(std::string_view name) {
    for (Format format : {Format::raw, Format::qcow2, Format::vmdk, Format::vhd, Format::vhdx, Format::volume})
        if (name == format_name(format)) return format;
    if (name == "vpc") return Format::vhd;
    return std::nullopt;
}

std::optional<Format> format_of_file_name(std::string_view file_name) {
    const Suffix* s = suffix_of(file_name);
    return s != nullptr ? std::optional(s->format) : std::nullopt;
}

std::string_view strip_format_suffix(std::string_view file_name) {
    if (const Suffix* s = suffix_of(file_name)) file_name.remove_suffix(s->suffix.size());
    return file_name;
}

}  // namespace hyper
