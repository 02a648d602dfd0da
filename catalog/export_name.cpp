// SPDX-License-Identifier: Apache-2.0
#include "catalog/export_name.h"

#include <cerrno>

namespace hyper {

namespace {

constexpr std::string_view since_prefix = "since-";

}  // namespace

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
    if (before.starts_with(since_prefix)) {
        std::string_view since = before.substr(since_prefix.size());
        if (*format != Format::qcow2)
            return fail(EINVAL, "{}: only qcow2 can tell what changed, not {} (try \".{}.qcow2\")", before, format_name(*format), before);
        if (since.empty()) return fail(EINVAL, "{}: says not since when (try \".since-41.qcow2\")", before);
        return ViewWish{TRY(find_view_kind(*format, "")), nullptr, std::string(since)};
    }
    return ViewWish{TRY(find_view_kind(*format, before)), nullptr};
}

namespace {

Result<std::shared_ptr<const ViewInput::Bitmap>> bitmap_of(const Image& image, const std::string& since, const std::string& file_name) {
    std::optional<std::vector<ChangedRun>> changed;
    if (image.changes()) changed = TRY(image.changes()->changed_since(since));
    if (!changed) return fail(ENOENT, "{}: it is not known what changed since {} (copy all of it instead)", file_name, since);
    return std::make_shared<const ViewInput::Bitmap>(ViewInput::Bitmap{since, std::move(*changed)});
}

}  // namespace

Result<std::shared_ptr<const Source>> open_wish(Engine& engine, const ViewWish& wish,
                                                std::shared_ptr<const Image> image, std::string file_name,
                                                uint64_t cluster_bytes) {
    ViewInput input;
    input.identity = image->identity();
    input.delta = image->delta();
    if (!wish.since.empty()) input.bitmap = TRY(bitmap_of(*image, wish.since, file_name));
    input.disk = std::move(image);
    input.file_name = std::move(file_name);
    input.engine = &engine;
    if (wish.format() == Format::qcow2) input.cluster_bytes = cluster_bytes;
    if (wish.profile != nullptr) return open_profile_view(*wish.profile, std::move(input));
    return open_view(*wish.kind, std::move(input));
}

}  // namespace hyper
