// SPDX-License-Identifier: Apache-2.0
#include "convert/image.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <filesystem>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "blockengine/volume/volume.h"
#include "convert/opening.h"
#include "convert/qcow2/qcow2.h"
#include "convert/raw/raw.h"
#include "convert/vhd/vhd.h"
#include "convert/vhdx/vhdx.h"
#include "convert/vmdk/vmdk.h"
#include "convert/volume/volume.h"

namespace hyper {

namespace {

namespace fs = std::filesystem;

// "json:", "nbd://", "file:": a word of two or more characters and a colon before any slash.
bool looks_like_url(std::string_view name) {
    size_t colon = name.find(':');
    return colon != std::string_view::npos && colon < name.find('/');
}

// Opens `path` (absolute and normal) beneath `dir`. ENOENT also where it is not beneath at all.
int open_beneath(const fs::path& dir, const fs::path& path) {
    fs::path relative = path.lexically_relative(dir);
    if (relative.empty() || *relative.begin() == "..") {
        errno = EXDEV;
        return -1;
    }
    int dir_fd = ::open(dir.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) return -1;
    open_how how{};
    how.flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
    how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS;
    int fd = static_cast<int>(::syscall(SYS_openat2, dir_fd, relative.c_str(), &how, sizeof how));
    int why = errno;
    ::close(dir_fd);
    errno = why;
    return fd;
}

Result<Format> decide_format(const File& file, std::optional<Format> wish) {
    if (wish) return *wish;
    std::string_view name = file.path();
    if (auto format = format_of_file_name(name.substr(name.rfind('/') + 1))) return *format;
    return Format::raw;
}

}  // namespace

Result<std::shared_ptr<const File>> Opening::open_reference(const File& referrer, std::string_view field,
                                                            std::string_view name) {
    if (name.empty() || name.find('\0') != std::string_view::npos)
        return fail(EINVAL, "{}: {}: an empty or broken file name", referrer.path(), field);
    if (looks_like_url(name))
        return fail(EPERM, "{}: {}: \"{}\" is not a plain file name; URLs in images are not followed",
                    referrer.path(), field, name);
    if (referrer.far_reader() != nullptr)
        return fail(EPERM, "{}: {}: \"{}\" is not followed: an image that is far away has to be whole in itself", referrer.path(), field,
                    name);
    fs::path own_dir = fs::absolute(referrer.path()).lexically_normal().parent_path();
    fs::path path = (own_dir / name).lexically_normal();
    std::vector<fs::path> dirs{own_dir};
    for (const std::string& dir : options_.allowed_dirs) {
        fs::path allowed = fs::absolute(dir).lexically_normal();
        dirs.push_back(allowed.has_filename() ? allowed : allowed.parent_path());
    }
    int why = EXDEV;
    for (const fs::path& dir : dirs) {
        int fd = open_beneath(dir, path);
        if (fd >= 0) return File::adopt(fd, path.string(), engine_.io());
        if (errno != EXDEV && errno != ENOENT) return fail(errno, "{}: {}: open {}: {}", referrer.path(), field,
                                                           path.string(), errno_text(errno));
        if (errno == ENOENT) why = ENOENT;
    }
    if (why == ENOENT)
        return fail(ENOENT, "{}: {}: {} does not exist", referrer.path(), field, path.string());
    return fail(EPERM, "{}: {}: \"{}\" lies outside the folders that may be read (allow its folder with --allow)",
                referrer.path(), field, name);
}

Result<std::shared_ptr<const Image>> Opening::open_parent(const File& referrer, std::string_view field,
                                                          std::string_view name, std::optional<Format> format) {
    auto file = TRY(open_reference(referrer, field, name));
    auto snapshot = std::exchange(options_.snapshot, {});
    auto parent = open(std::move(file), format);
    options_.snapshot = std::move(snapshot);
    return parent;
}

Result<std::shared_ptr<const Image>> Opening::open(std::shared_ptr<const File> file, std::optional<Format> wish) {
    std::pair<uint64_t, uint64_t> which{file->device(), file->inode()};
    if (std::find(chain_.begin(), chain_.end(), which) != chain_.end())
        return fail(ELOOP, "{}: the chain of parents loops: this image is its own ancestor", file->path());
    if (chain_.size() >= chain_length_max)
        return fail(ELOOP, "{}: the chain of parents is longer than {}", file->path(), chain_length_max);
    Format format = TRY(decide_format(*file, wish));
    if (!options_.snapshot.empty() && format != Format::qcow2)
        return fail(EINVAL, "{}: snapshot \"{}\": format {} has no internal snapshots", file->path(),
                    options_.snapshot, format_name(format));
    chain_.push_back(which);
    auto image = [&]() -> Result<std::shared_ptr<const Image>> {
        switch (format) {
            case Format::raw: return open_raw(*this, file);
            case Format::qcow2: return open_qcow2(*this, file);
            case Format::vmdk: return open_vmdk(*this, file);
            case Format::vhd: return open_vhd(*this, file);
            case Format::vhdx: return open_vhdx(*this, file);
            case Format::volume: break;  // a folder, never a file
        }
        return fail(EINVAL, "{}: unknown format", file->path());
    }();
    chain_.pop_back();
    if (image && (*image)->size_bytes() > disk_bytes_max)
        return fail(EFBIG, "{}: virtual size {} is larger than 64 TiB", file->path(), (*image)->size_bytes());
    return image;
}

Result<void> Opening::hold_tables(const File& file, uint64_t bytes) {
    if (bytes > table_bytes_max - table_bytes_)
        return fail(EFBIG, "{}: its tables and those of its children take {} bytes and more of memory, of which {} are given "
                    "to a chain (make it shorter)", file.path(), table_bytes_max, table_bytes_max);
    table_bytes_ += bytes;
    return {};
}

Result<std::shared_ptr<const Image>> open_image(Engine& engine, const std::string& path, const OpenOptions& options) {
    if (is_volume(path) && options.format.value_or(Format::volume) == Format::volume) return open_volume(engine, path, options);
    return open_image(engine, TRY(File::open(path, engine.io())), options);
}

Result<std::shared_ptr<const Image>> open_image(Engine& engine, std::shared_ptr<const File> file, const OpenOptions& options) {
    std::string path = file->path();
    auto image = TRY(Opening(engine, options).open(std::move(file), options.format));
    for (const std::string& warning : image->info().warnings) log_warning("{}: {}", path, warning);
    return image;
}

}  // namespace hyper
