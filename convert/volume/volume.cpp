// SPDX-License-Identifier: Apache-2.0
#include "convert/volume/volume.h"

#include <algorithm>
#include <cerrno>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/volume/lazy_source.h"
#include "blockengine/volume/volume.h"

namespace hyper {

namespace {

// "41..42" as its two parts; nullopt for what has no "..".
std::optional<std::pair<std::string_view, std::string_view>> parts_of_delta(std::string_view name) {
    size_t dots = name.find("..");
    if (dots == std::string_view::npos) return std::nullopt;
    return std::pair{name.substr(0, dots), name.substr(dots + 2)};
}

// The runs in bytes of a disk.
std::vector<ChangedRun> runs_in_bytes(const BlockRuns& changed, uint64_t block_bytes, uint64_t disk_bytes) {
    std::vector<ChangedRun> runs;
    for (const BlockRun& run : changed.runs()) {
        uint64_t offset = run.first * block_bytes;
        if (offset >= disk_bytes) break;
        runs.push_back({offset, std::min(run.count * block_bytes, disk_bytes - offset)});
    }
    return runs;
}

class GenerationChanges : public ChangeMap {
  public:
    GenerationChanges(std::shared_ptr<const Volume> volume, std::vector<Generation> all, const Generation& generation)
        : volume_(std::move(volume)), all_(std::move(all)), generation_(generation) {}
    std::string disk() const override { return "volume:" + hex(volume_->info().id); }
    std::string change_id() const override { return id_of(generation_); }
    std::vector<std::string> earlier() const override {
        std::vector<std::string> names;
        for (auto one = all_.rbegin(); one != all_.rend(); ++one)
            if (one->number < generation_.number && one->size_bytes == generation_.size_bytes) names.push_back(std::to_string(one->number));
        return names;
    }
    Result<std::optional<std::vector<ChangedRun>>> changed_since(std::string_view state) const override {
        auto from = std::ranges::find_if(all_, [&](const Generation& one) { return state == std::to_string(one.number) || state == id_of(one); });
        if (from == all_.end() || from->number > generation_.number || from->size_bytes != generation_.size_bytes) return std::nullopt;
        if (from->number == generation_.number) return std::vector<ChangedRun>();
        auto changed = volume_->changed(from->number, generation_.number);
        if (!changed && changed.error().code == ESTALE) return std::nullopt;
        if (!changed) return tl::unexpected(changed.error());
        return runs_in_bytes(*changed, volume_->block_bytes(), generation_.size_bytes);
    }

  private:
    static std::string id_of(const Generation& generation) {
        return fmt::format("{}:{}", generation.number, hex(std::span(generation.root).first(8)));
    }

    std::shared_ptr<const Volume> volume_;
    std::vector<Generation> all_;
    Generation generation_;
};

class VolumeImage : public Image {
  public:
    VolumeImage(const std::shared_ptr<const Volume>& volume, const std::vector<Generation>& all, const Generation& generation,
                std::shared_ptr<const Source> source, std::shared_ptr<const DeltaSource> delta, std::string_view name)
        : Image(volume->folder(), identity(generation, name)), volume_(volume), generation_(generation), source_(std::move(source)) {
        size_bytes_ = source_->size_bytes();
        delta_ = std::move(delta);
        info_.format = Format::volume;
        for (const Generation& one : all) info_.snapshots.push_back(std::to_string(one.number));
        info_.details = {{"generation", std::to_string(generation.number)},
                         {"committed", utc_text(generation.time)},
                         {"root", hex(generation.root)},
                         {"source", generation.origin.source},
                         {"block size", std::to_string(volume->block_bytes())}};
        if (delta_) return;
        changes_ = std::make_shared<GenerationChanges>(volume, all, generation);
    }
    Result<void> map(uint64_t offset, uint64_t length, PieceList& out) const override { return source_->map(offset, length, out); }
    Result<std::vector<CompanionContent>> companions() const override {
        if (delta_) return std::vector<CompanionContent>();
        return read_companions(*volume_, generation_);
    }

  private:
    // By content alone: the same disk gives the same views, whichever volume and generation it is kept in.
    static Identity identity(const Generation& generation, std::string_view name) {
        Identity identity{xxh3_128(generation.root), generation.time};
        return parts_of_delta(name) ? identity.with(name) : identity;
    }

    std::shared_ptr<const Volume> volume_;
    Generation generation_;
    std::shared_ptr<const Source> source_;
};

}  // namespace

bool is_generation_name(std::string_view name) {
    if (auto delta = parts_of_delta(name)) return is_generation_name(delta->first) && is_generation_name(delta->second);
    bool number = !name.empty() && name.find_first_not_of("0123456789") == std::string_view::npos;
    return number || name == "latest" || parse_utc(name);
}

Result<std::shared_ptr<const Image>> open_volume(Engine& engine, const std::string& folder, const OpenOptions& options) {
    auto volume = TRY(Volume::open(engine, folder));
    auto all = TRY(volume->generations());
    if (all.empty() && TRY(read_lazy_source(volume->paths().draft())))
        return fail(ENOENT, "{}: is filled from its source, and has no generation yet: hypernbd --rw serves it meanwhile, and hyperctl volume "
                            "hydrate and commit bring it to an end", folder);
    auto delta = parts_of_delta(options.snapshot);
    Generation generation = TRY(volume->find(delta ? delta->second : options.snapshot));
    auto source = TRY(volume->open_generation(generation));
    std::shared_ptr<const DeltaSource> delta_source;
    if (delta) {
        Generation from = TRY(volume->find(delta->first));
        if (from.number >= generation.number)
            return fail(EINVAL, "{}@{}: generation {} is not older than {}", folder, options.snapshot, from.number, generation.number);
        if (from.size_bytes != generation.size_bytes)
            return fail(EINVAL, "{}@{}: the disk had {} bytes and then {}: there is no delta between disks of two sizes", folder,
                        options.snapshot, from.size_bytes, generation.size_bytes);
        auto changed = TRY(volume->changed(from.number, generation.number));
        delta_source = DeltaSource::make(source, runs_in_bytes(changed, volume->block_bytes(), generation.size_bytes));
        source = delta_source;
    }
    return std::make_shared<VolumeImage>(volume, all, generation, std::move(source), std::move(delta_source), options.snapshot);
}

}  // namespace hyper
