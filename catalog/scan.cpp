// SPDX-License-Identifier: Apache-2.0
#include "catalog/scan.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "blockengine/volume/volume.h"
#include "convert/format.h"
#include "convert/remote/remote.h"

namespace hyper {

namespace {

namespace fs = std::filesystem;

// A name is shown on terminals and sent as an NBD string: UTF-8 without control characters, at most 1000 bytes.
bool presentable(std::string_view name) {
    if (name.empty() || name.size() > 1000) return false;
    for (size_t i = 0; i < name.size();) {
        auto lead = static_cast<unsigned char>(name[i]);
        if (lead < 0x20 || lead == 0x7f) return false;
        size_t length = lead < 0x80 ? 1 : (lead >> 5) == 6 ? 2 : (lead >> 4) == 14 ? 3 : (lead >> 3) == 30 ? 4 : 0;
        if (length == 0 || i + length > name.size()) return false;
        for (size_t k = 1; k < length; ++k)
            if ((static_cast<unsigned char>(name[i + k]) & 0xc0) != 0x80) return false;
        i += length;
    }
    return true;
}

// NAME-f001.vmdk and NAME-flat.vmdk: their bytes are the guest's to write, so they are never looked into.
bool named_as_flat_extent(std::string_view file_name) {
    std::string_view stem = strip_format_suffix(file_name);
    if (stem.ends_with("-flat")) return true;
    size_t digits = 0;
    while (digits < stem.size() && stem[stem.size() - 1 - digits] >= '0' && stem[stem.size() - 1 - digits] <= '9')
        ++digits;
    return digits >= 3 && stem.substr(0, stem.size() - digits).ends_with("-f");
}

// A VMDK that people mean holds a descriptor: it is one, or a sparse file that embeds one. Sparse extents of
// split images have none, whatever their header says about its place (qemu-img leaves zeros there).
bool is_vmdk_extent(const fs::path& path) {
    constexpr std::string_view descriptor = "# Disk DescriptorFile";
    int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return false;  // opening it as a disk will say why
    auto begins_with = [fd](uint64_t offset, std::string_view text) {
        std::array<char, 32> bytes{};
        auto got = ::pread(fd, bytes.data(), text.size(), static_cast<off_t>(offset));
        return got == static_cast<ssize_t>(text.size()) && std::string_view(bytes.data(), text.size()) == text;
    };
    bool extent = !begins_with(0, descriptor);
    if (extent && begins_with(0, "KDMV")) {
        // "Virtual Disk Format 5.0": descriptorOffset stands at byte 28, in sectors.
        std::array<std::byte, 8> field{};
        bool got = ::pread(fd, field.data(), field.size(), 28) == static_cast<ssize_t>(field.size());
        uint64_t sector = load_le<uint64_t>(field.data());
        extent = !got || sector == 0 || sector > uint64_t{1} << 32 || begins_with(sector * sector_bytes, {"\0", 1});
    }
    ::close(fd);
    return extent;
}

// The file that an entry of `root` means, or an empty path where it is none of ours.
fs::path image_of_entry(const fs::path& root, const fs::directory_entry& entry) {
    std::string file_name = entry.path().filename().string();
    auto format = format_of_file_name(file_name);
    std::error_code error;
    if (!format || file_name.starts_with('.') || entry.is_regular_file(error) == (*format == Format::volume) || error) return {};
    fs::path path = entry.path();
    if (entry.is_symlink(error)) {
        path = fs::canonical(path, error);
        fs::path inside = path.lexically_relative(root);
        if (error || inside.empty() || *inside.begin() == "..") {
            log_info("{}: left out: a link that leads out of {}", entry.path().string(), root.string());
            return {};
        }
    }
    if (*format == Format::vmdk && (named_as_flat_extent(file_name) || is_vmdk_extent(path))) return {};
    return path;
}

Result<std::vector<FoundImage>> scan_directory(const std::string& spec) {
    std::error_code error;
    fs::path root = fs::canonical(spec, error);
    if (error) return fail(error.value(), "{}: {}", spec, errno_text(error.value()));
    fs::recursive_directory_iterator at(root, fs::directory_options::skip_permission_denied, error);
    if (error) return fail(error.value(), "{}: {}", spec, errno_text(error.value()));
    std::vector<FoundImage> found;
    size_t entries = 0;
    for (; at != fs::recursive_directory_iterator(); at.increment(error)) {
        if (++entries > scan_entries_max) {
            log_warning("{}: more than {} entries; the rest is left out", spec, scan_entries_max);
            break;
        }
        std::string file_name = at->path().filename().string();
        if (at->is_directory(error) && is_volume(at->path().string())) {
            at.disable_recursion_pending();
        } else if (at->is_directory(error)) {
            if (at.depth() >= scan_depth_max)
                log_warning("{}: left out: deeper than {} folders", at->path().string(), scan_depth_max);
            if (at.depth() >= scan_depth_max || file_name.starts_with('.')) at.disable_recursion_pending();
            continue;
        }
        fs::path path = image_of_entry(root, *at);
        if (path.empty()) continue;
        std::string relative = at->path().lexically_relative(root).string();
        std::string name(strip_format_suffix(relative));
        if (!presentable(name)) {
            log_warning("{:?}: left out: its name has control characters, is not UTF-8 or is too long",
                        std::string_view(relative));
            continue;
        }
        // The path as the user wrote it, where no link changed it: it is shown.
        std::string shown = path == at->path() ? (fs::path(spec) / relative).string() : path.string();
        found.push_back({std::move(name), std::move(shown), root.string(), ""});
    }
    if (error) return fail(error.value(), "{}: {}", spec, errno_text(error.value()));
    return found;
}

}  // namespace

Result<std::vector<FoundImage>> scan_spec(const std::string& spec) {
    if (is_remote(spec)) {
        std::string remote_name = name_of_remote(spec);
        if (!presentable(remote_name)) return fail(EINVAL, "{:?}: its name has control characters, is not UTF-8 or is too long", remote_name);
        return std::vector<FoundImage>{{std::move(remote_name), spec, "", ""}};
    }
    std::error_code error;
    fs::file_status status = fs::status(spec, error);
    if (!fs::exists(status)) {
        int why = error ? error.value() : ENOENT;
        return fail(why, "{}: {}", spec, errno_text(why));
    }
    if (fs::is_directory(status) && !is_volume(spec)) return scan_directory(spec);
    std::string file_name = fs::path(spec).filename().string();
    std::string name(strip_format_suffix(file_name));
    if (!presentable(name))
        return fail(EINVAL, "{:?}: its name has control characters, is not UTF-8 or is too long",
                    std::string_view(spec));
    return std::vector<FoundImage>{{std::move(name), spec, "", ""}};
}

void mark_collisions(std::vector<FoundImage>& images) {
    std::error_code ignored;
    std::stable_sort(images.begin(), images.end(),
                     [](const FoundImage& a, const FoundImage& b) { return std::tie(a.name, a.path) < std::tie(b.name, b.path); });
    auto same = [&](const FoundImage& a, const FoundImage& b) {
        return a.name == b.name && (a.path == b.path || fs::equivalent(a.path, b.path, ignored));
    };
    images.erase(std::unique(images.begin(), images.end(), same), images.end());
    for (size_t first = 0; first < images.size();) {
        size_t last = first + 1;
        while (last < images.size() && images[last].name == images[first].name) ++last;
        for (size_t i = first; i < last && last - first > 1; ++i) {
            std::string others;
            for (size_t k = first; k < last; ++k)
                if (k != i) others += (others.empty() ? "" : ", ") + images[k].path;
            images[i].problem = fmt::format("{}: has the name \"{}\" of {} too; rename one", images[i].path,
                                            images[i].name, others);
        }
        first = last;
    }
}

}  // namespace hyper
