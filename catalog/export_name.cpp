// SPDX-License-Identifier: Apache-2.0
#include "catalog/export_name.h"

#include <cerrno>

namespace hyper {

Result<std::optional<ViewWish>> parse_view_suffix(std::string_view suffix) {
    if (!suffix.starts_with('.')) return std::nullopt;
    suffix.remove_prefix(1);
    size_t dot = suffix.rfind('.');
    std::string_view before = dot == std::string_view::npos ? std::string_view() : suffix.substr(0, dot);
    auto format = parse_format(suffix.substr(dot == std::string_view::npos ? 0 : dot + 1));
    if (!format || before.find('.') != std::string_view::npos || dot == 0) return std::nullopt;
    if (const Profile* profile = find_profile(before)) {
        if (profile->format != *format)
            return fail(EINVAL, "profile {}: it wants {}, not {} (try \".{}.{}\")", before,
                        format_name(profile->format), format_name(*format), before, format_name(profile->format));
        return ViewWish{nullptr, profile};
    }
    return ViewWish{TRY(find_view_kind(*format, before)), nullptr};
}

Result<std::shared_ptr<const Source>> open_wish(Engine& engine, const ViewWish& wish,
                                                std::shared_ptr<const Image> image, std::string file_name,
                                                uint64_t cluster_bytes) {
    ViewInput input;
    input.identity = image->identity();
    input.delta = image->delta();
    input.disk = std::move(image);
    input.file_name = std::move(file_name);
    input.engine = &engine;
    if (wish.format() == Format::qcow2) input.cluster_bytes = cluster_bytes;
    if (wish.profile != nullptr) return open_profile_view(*wish.profile, std::move(input));
    return open_view(*wish.kind, std::move(input));
}

}  // namespace hyper
