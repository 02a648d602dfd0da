// SPDX-License-Identifier: Apache-2.0
#include "convert/remote/remote.h"

#include <cerrno>

#include "blockengine/fetch/fetcher.h"
#include "providers/registry.h"
#include "providers/remote_disk.h"

namespace hyper {

namespace {

std::string_view consistency_text(hyper_consistency consistency) {
    switch (consistency) {
        case HYPER_APPLICATION_CONSISTENT: return "application-consistent";
        case HYPER_AT_REST: return "at rest";
        default: return "crash-consistent";
    }
}

// A disk itself, not an image of one.
class RemoteImage : public Image {
  public:
    RemoteImage(std::shared_ptr<const File> file, const std::shared_ptr<const RemoteDisk>& disk) : Image(*file), file_(std::move(file)), disk_(disk) {
        size_bytes_ = file_->size_bytes();
        info_.format = Format::raw;
        info_.details.push_back({"provider's id", disk->facts().disk_id});
        info_.details.push_back({"point in time", std::string(consistency_text(disk->facts().consistency))});
        changes_ = disk->changes();
    }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override {
        out.file(file_, offset, length);
        return {};
    }
    Result<std::vector<CompanionContent>> companions() const override {
        std::vector<CompanionContent> all;
        TRY(disk_->companions([&](const std::string& name, const std::string& bytes) {
            all.push_back({name, bytes});
            return true;
        }));
        return all;
    }

  private:
    std::shared_ptr<const File> file_;
    std::shared_ptr<const RemoteDisk> disk_;
};

// nullopt for the disk's own bytes.
Result<std::optional<Format>> format_of(const RemoteDisk& disk, const std::string& uri) {
    const std::string& told = disk.facts().format;
    if (told.empty()) return std::nullopt;
    if (told == "auto") {
        std::string path = shown_uri(uri);
        return format_of_file_name(path.substr(path.rfind('/') + 1));
    }
    auto format = parse_format(told);
    if (!format) return fail(ENOTSUP, "{}: its format \"{}\" is not read here", disk.name(), told);
    return format;
}

}  // namespace

bool is_remote(std::string_view name) { return !uri_scheme(name).empty(); }

std::string name_of_remote(std::string_view uri) {
    std::string path = shown_uri(uri);
    size_t authority = path.find("://") + 3;
    size_t begin = path.find('/', authority);
    std::string_view last = begin == std::string::npos ? std::string_view() : std::string_view(path).substr(path.rfind('/') + 1);
    if (last.empty()) last = begin == authority ? uri_scheme(uri) : std::string_view(path).substr(authority, begin - authority);
    return std::string(strip_format_suffix(last));
}

Result<std::shared_ptr<const Image>> open_remote(Engine& engine, const std::string& uri, const OpenOptions& options) {
    auto disk = TRY(RemoteDisk::open(uri, options.remote));
    auto file = open_far(disk, engine.io());
    std::optional<Format> format = options.format;
    if (!format) format = TRY(format_of(*disk, uri));
    if (!format || *format == Format::raw) {
        if (!options.snapshot.empty()) return fail(EINVAL, "{}: snapshot \"{}\": a raw disk has none", disk->name(), options.snapshot);
        if (disk->size_bytes() == 0) return fail(EINVAL, "{}: the disk is of no size", disk->name());
        return std::make_shared<RemoteImage>(std::move(file), disk);
    }
    OpenOptions inside = options;
    inside.format = format;
    return open_image(engine, std::move(file), inside);
}

Result<std::vector<NamedImage>> open_remotes_together(Engine& engine, const std::string& uri, const RemoteWish& wish,
                                                      const std::function<Result<std::string>(const std::string& disk)>& since_of) {
    std::vector<NamedImage> images;
    for (const auto& disk : TRY(RemoteDisk::open_together(uri, wish, since_of))) {
        if (!disk->facts().format.empty()) return fail(ENOTSUP, "{}: is an image, to be named by itself", disk->name());
        if (disk->size_bytes() == 0) return fail(EINVAL, "{}: the disk is of no size", disk->name());
        images.push_back({disk->disk(), std::make_shared<RemoteImage>(open_far(disk, engine.io()), disk)});
    }
    return images;
}

}  // namespace hyper
