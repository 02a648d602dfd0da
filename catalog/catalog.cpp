// SPDX-License-Identifier: Apache-2.0
#include "catalog/catalog.h"

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "blockengine/base/log.h"
#include "blockengine/volume/lazy_source.h"
#include "blockengine/volume/volume.h"
#include "convert/remote/remote.h"
#include "convert/volume/volume.h"

namespace hyper {

namespace {

// What the listing shows, and what a name may hold: it needs no quoting in a URI or a shell.
bool harmless_snapshot_name(std::string_view name) {
    constexpr std::string_view harmless =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._:+-";
    return !name.empty() && name.size() <= 255 && name.find_first_not_of(harmless) == std::string_view::npos;
}

bool is_number(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

std::string description_of(std::string_view what, const std::string& path, const std::string& snapshot) {
    return fmt::format("{} of {}{}{}", what, path, snapshot.empty() ? "" : ", snapshot ", snapshot);
}

// A disk of a size with nothing on it: which views can hold a disk is tried on this, without its index.
class EmptySource : public Source {
  public:
    explicit EmptySource(uint64_t size_bytes) : size_bytes_(size_bytes) {}
    uint64_t size_bytes() const override { return size_bytes_; }
    Result<void> map(uint64_t, uint64_t length, PieceList& out) const override {
        out.zeros(length);
        return {};
    }

  private:
    uint64_t size_bytes_;
};

}  // namespace

Result<std::unique_ptr<Catalog>> Catalog::open(Engine& engine, const std::vector<std::string>& specs,
                                               const CatalogOptions& options) {
    std::unique_ptr<Catalog> catalog(new Catalog(engine, specs, options));
    if (auto error = catalog->rescan()) return tl::unexpected(std::move(*error));
    return catalog;
}

// The table becomes what is there now. Gives the first error; the table has everything else all the same.
std::optional<Error> Catalog::rescan() {
    std::optional<Error> first_error;
    std::vector<FoundImage> images;
    for (const std::string& spec : specs_) {
        auto found = scan_spec(spec);
        if (found)
            images.insert(images.end(), found->begin(), found->end());
        else if (!first_error)
            first_error = found.error();
    }
    mark_collisions(images);
    Table fresh;
    for (FoundImage& image : images) {
        auto [at, added] = fresh.emplace(image.name, image);
        if (!added && image.directory.empty() && at->second.directory.empty() && !first_error)
            first_error = Error{EEXIST, image.problem};
    }
    std::lock_guard lock(mutex_);
    table_ = std::move(fresh);
    return first_error;
}

Catalog::Table Catalog::table() {
    std::lock_guard lock(mutex_);
    return table_;
}

OpenOptions Catalog::options_of(const State& state) const {
    OpenOptions options = options_.open;
    options.snapshot = state.snapshot;
    if (!state.image.directory.empty()) {
        options.format = std::nullopt;
        options.allowed_dirs.push_back(state.image.directory);
    }
    return options;
}

Result<std::shared_ptr<const Image>> Catalog::open_state(const State& state) {
    if (!state.image.problem.empty()) return fail(EEXIST, "{}", state.image.problem);
    return images_.open(state.image.path, options_of(state));
}

// The table first, then a snapshot of what stands before an "@".
Result<std::optional<Catalog::State>> Catalog::find_disk(std::string_view name) {
    size_t at = name.rfind('@');
    std::optional<FoundImage> of_snapshot;
    {
        std::lock_guard lock(mutex_);
        if (auto found = table_.find(name); found != table_.end()) return State{found->second, ""};
        if (at == std::string_view::npos) return std::nullopt;
        if (auto found = table_.find(name.substr(0, at)); found != table_.end()) of_snapshot = found->second;
    }
    std::string snapshot(name.substr(at + 1));
    if (!of_snapshot || !harmless_snapshot_name(snapshot)) return std::nullopt;
    State present{*of_snapshot, ""};
    if (!present.image.problem.empty()) return fail(EEXIST, "{}", present.image.problem);
    auto facts = TRY(images_.facts(present.image.path, options_of(present)));
    if (facts.format == Format::volume) {
        if (!is_generation_name(snapshot)) return std::nullopt;
        return State{*of_snapshot, std::move(snapshot)};
    }
    bool known = std::find(facts.snapshots.begin(), facts.snapshots.end(), snapshot) != facts.snapshots.end();
    if (!known && (facts.snapshots.empty() || !is_number(snapshot))) return std::nullopt;
    return State{*of_snapshot, std::move(snapshot)};
}

// The longest disk name counts: the whole name, then what stands before its last dot, and before the one before.
Result<std::optional<Catalog::Target>> Catalog::find_target(std::string_view name) {
    if (auto state = TRY(find_disk(name))) return Target{*state, {view_kinds().data(), nullptr}};
    size_t dot = name.size();
    for (int dots = 0; dots < 2 && dot > 0; ++dots) {
        dot = name.rfind('.', dot - 1);
        if (dot == std::string_view::npos) break;
        auto state = TRY(find_disk(name.substr(0, dot)));
        if (!state) continue;
        auto wish = parse_view_suffix(name.substr(dot));
        if (!wish) return fail(wish.error().code, "{}: {}", name, wish.error().message);
        if (*wish) return Target{std::move(*state), **wish};
    }
    return std::nullopt;
}

Result<std::shared_ptr<const Image>> Catalog::open_disk(std::string_view name) {
    auto state = TRY(find_disk(name));
    if (!state) {
        rescan();
        state = TRY(find_disk(name));
    }
    if (!state) return fail(ENOENT, "{}: there is no disk of this name", name);
    return open_state(*state);
}

Result<std::shared_ptr<const Source>> Catalog::open_export(std::string_view name) {
    auto target = TRY(find_target_anew(name));
    if (!target) return fail(ENOENT, "{}: there is no disk or view of this name", name);
    auto image = TRY(open_state(target->state));
    std::string key(name);
    if (auto view = views_.find(key, image)) return view;
    std::string file_name(name.substr(name.rfind('/') + 1));
    auto view = TRY(open_wish(engine_, target->wish, image, std::move(file_name), options_.cluster_bytes));
    return views_.put(key, std::move(image), std::move(view));
}

std::vector<Disk> Catalog::disks() {
    if (auto error = rescan()) log_warning("{}", error->message);
    Table all = table();
    std::vector<Disk> disks;
    for (const auto& [name, image] : all) {
        Disk disk{name, image.path, "", image.problem, Format::raw, 0};
        State state{image, ""};
        std::vector<std::string> snapshots;
        if (disk.problem.empty()) {
            auto facts = images_.facts(image.path, options_of(state));
            if (facts) {
                disk.format = facts->format;
                disk.size_bytes = facts->size_bytes;
                snapshots = facts->snapshots;
            } else {
                disk.problem = facts.error().message;
            }
        }
        disks.push_back(disk);
        disk.size_bytes = 0;
        std::sort(snapshots.begin(), snapshots.end());
        snapshots.erase(std::unique(snapshots.begin(), snapshots.end()), snapshots.end());
        for (const std::string& snapshot : snapshots) {
            disk.name = name + "@" + snapshot;
            disk.snapshot = snapshot;
            if (harmless_snapshot_name(snapshot) && !all.contains(disk.name)) disks.push_back(disk);
        }
    }
    return disks;
}

std::vector<Export> Catalog::exports() {
    std::vector<Export> exports;
    for (const Disk& disk : disks()) {
        if (!disk.problem.empty()) continue;
        uint64_t size = disk.size_bytes;
        if (!disk.snapshot.empty()) {
            // A snapshot may be of another size than the present state.
            State state{{disk.name, disk.path, "", ""}, disk.snapshot};
            if (auto found = find_disk(disk.name); found && *found) state = **found;
            auto facts = images_.facts(disk.path, options_of(state));
            if (!facts) continue;
            size = facts->size_bytes;
        }
        for (const ViewKind& kind : view_kinds()) {
            bool raw = kind.format == Format::raw;
            std::string name = raw ? disk.name : disk.name + std::string(kind.suffix);
            ViewInput input{std::make_shared<EmptySource>(size), {}, name, 0, &engine_};
            if (!open_view(kind, input)) continue;
            // Another disk's longer name may stand for something else: web + .fixed.vhd, web.fixed + .vhd.
            auto target = find_target(name);
            if (!target || !*target || (*target)->wish.kind != &kind) continue;
            exports.push_back({std::move(name), description_of(kind.description, disk.path, disk.snapshot), kind.format, raw});
        }
    }
    return exports;
}

// Looks into the directories anew where the name is not known.
Result<std::optional<Catalog::Target>> Catalog::find_target_anew(std::string_view name) {
    auto target = TRY(find_target(name));
    if (target) return target;
    rescan();
    return find_target(name);
}

std::vector<std::string> Catalog::lazy_volumes() {
    std::vector<std::string> names;
    for (const auto& [name, image] : table()) {
        if (is_remote(image.path) || !is_volume(image.path)) continue;
        std::string draft = VolumePaths(image.path).draft();
        if (std::filesystem::exists(draft + "/map") && read_lazy_source(draft).value_or(std::nullopt)) names.push_back(name);
    }
    return names;
}

Result<std::optional<std::string>> Catalog::volume_folder(std::string_view name) {
    auto target = TRY(find_target_anew(name));
    if (!target || !target->state.image.problem.empty() || name != target->state.image.name) return std::nullopt;
    if (!is_volume(target->state.image.path)) return std::nullopt;
    return target->state.image.path;
}

Result<std::optional<Catalog::RawFile>> Catalog::raw_file(std::string_view name) {
    auto target = TRY(find_target_anew(name));
    if (!target || !target->state.image.problem.empty()) return std::nullopt;
    const FoundImage& image = target->state.image;
    if (is_remote(image.path)) return std::nullopt;
    auto facts = TRY(images_.facts(image.path, options_of(target->state)));
    if (facts.format != Format::raw) return std::nullopt;
    return RawFile{image.path, name == image.name};
}

std::string Catalog::describe(std::string_view name) {
    auto target = find_target(name);
    if (!target || !*target) return "";
    auto& [state, wish] = **target;
    return description_of(wish.kind != nullptr ? wish.kind->description : wish.profile->description, state.image.path,
                          state.snapshot);
}

std::string Catalog::disk_of(std::string_view name) {
    auto target = find_target_anew(name);
    return target && *target ? (*target)->state.image.name : "";
}

Result<std::string> Catalog::default_name() {
    rescan();
    std::lock_guard lock(mutex_);
    if (table_.empty()) return fail(EINVAL, "there is no disk to serve");
    if (table_.size() > 1)
        return fail(EINVAL, "there are {} disks, so a name must be given: {}, {}{}", table_.size(),
                    table_.begin()->first, std::next(table_.begin())->first, table_.size() > 2 ? ", ..." : "");
    return table_.begin()->first;
}

}  // namespace hyper
