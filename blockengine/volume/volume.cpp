// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/volume.h"

#include <sys/stat.h>

#include <cerrno>
#include <charconv>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/volume/generation_source.h"
#include "blockengine/volume/small_file.h"

namespace hyper {

namespace {

constexpr std::string_view info_head = "hyper volume 1\n";

std::optional<uint64_t> parse_number(std::string_view text) {
    uint64_t value = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
    return value;
}

}  // namespace

std::string VolumePaths::data_file(uint32_t number) const { return data_file_path(data(), number); }

bool is_volume(const std::string& path) {
    struct stat status {};
    return path.ends_with(volume_suffix) && ::stat(VolumePaths(path).info().c_str(), &status) == 0 && S_ISREG(status.st_mode);
}

Result<void> write_volume_info(const std::string& folder, const VolumeInfo& info) {
    std::string text(info_head);
    text += fmt::format("id {}\nblock_bytes {}\ncompress {}\ndata_file_bytes_max {}\n", hex(info.id), info.options.block_bytes,
                        info.options.compress ? 1 : 0, info.options.data_file_bytes_max);
    return write_small_file(VolumePaths(folder).info(), text);
}

Result<VolumeInfo> read_volume_info(const std::string& folder) {
    std::string path = VolumePaths(folder).info();
    std::string text = TRY(read_small_file(path));
    std::string_view rest = text;
    if (!rest.starts_with(info_head))
        return fail(EINVAL, "{}: does not begin with \"hyper volume 1\": no volume, or of a later version of this program", path);
    rest.remove_prefix(info_head.size());
    VolumeInfo info;
    for (std::string_view field : {"id", "block_bytes", "compress", "data_file_bytes_max"}) {
        size_t end = std::min(rest.find('\n'), rest.size());
        std::string_view line = rest.substr(0, end), value;
        if (line.starts_with(field) && line.size() > field.size()) value = line.substr(field.size() + 1);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        auto parsed = parse_number(value);
        uint64_t number = parsed.value_or(0);
        bool good = field == "id" ? parse_hex(value, info.id) : parsed.has_value();
        if (field == "block_bytes")
            good = good && std::has_single_bit(number) && number >= block_bytes_min && number <= block_bytes_max;
        if (!good) return fail(EINVAL, "{}: {}: \"{}\" is not a value that it can have", path, field, value);
        if (field == "block_bytes") info.options.block_bytes = static_cast<uint32_t>(number);
        if (field == "compress") info.options.compress = number != 0;
        if (field == "data_file_bytes_max") info.options.data_file_bytes_max = number;
    }
    return info;
}

Result<std::shared_ptr<Volume>> Volume::open(Engine& engine, const std::string& folder) {
    TRY(read_volume_info(folder));  // for a message about the volume rather than about its index
    std::shared_ptr<Index> index = TRY(Index::open_to_follow(VolumePaths(folder).index()));
    auto volume = TRY(over(engine, folder, std::move(index)));
    TRY(volume->refresh());
    return volume;
}

Result<std::shared_ptr<Volume>> Volume::over(Engine& engine, const std::string& folder, std::shared_ptr<Index> index) {
    std::shared_ptr<Volume> volume(new Volume(engine, folder));
    volume->info_ = TRY(read_volume_info(folder));
    volume->index_ = std::move(index);
    volume->pruned_ = TRY(PrunedMarks::open(volume->paths_.pruned(), false));
    return volume;
}

Result<void> Volume::refresh() {
    // Read first. What was told to be committed, and then is not in the index: that was damaged, or is an older copy.
    std::string text = TRY(read_small_file(paths_.latest()));
    auto told = parse_number(text);
    TRY(index_->refresh());
    auto all = TRY(generations());
    uint32_t newest = all.empty() ? 0 : all.back().number;
    if (!told || *told > newest)
        return fail(EIO, "{}: generation {} was committed, but the index knows of {} at most (hyperctl volume repair rebuilds it)",
                    folder(), told.value_or(0), newest);
    return {};
}

Result<std::vector<Generation>> Volume::generations() const {
    std::vector<Generation> all;
    for (const auto& [number, json] : TRY(index_->generations())) {
        auto generation = Generation::from_json(json);
        if (!generation) return fail(EIO, "{}: {}", folder(), generation.error().message);
        if (!pruned_.pruned(number)) all.push_back(std::move(*generation));
    }
    return all;
}

Result<Generation> Volume::find(std::string_view which) const {
    auto found = find_generation(TRY(generations()), which);
    if (!found) return fail(found.error().code, "{}: {}", folder(), found.error().message);
    return *found;
}

Result<std::shared_ptr<const Source>> Volume::open_generation(const Generation& generation) const {
    if (TRY(index_->get(wrong_root_name(generation.number))))
        return fail(EIO, "{}: generation {}: parts of it were lost with a damaged record, and it is not known which", folder(), generation.number);
    return std::make_shared<GenerationSource>(shared_from_this(), generation.number, generation.size_bytes);
}

Result<BlockRuns> Volume::changed(uint32_t from, uint32_t to) const {
    // Joined whenever they are as many together as one may be alone.
    std::vector<BlockRuns> lists;
    size_t runs_in_lists = 0;
    auto join = [&] {
        std::vector<const BlockRuns*> pointers;
        for (const BlockRuns& list : lists) pointers.push_back(&list);
        BlockRuns all = lists.size() == 1 ? std::move(lists[0]) : BlockRuns::union_of(pointers);
        lists.clear();
        lists.push_back(std::move(all));
        runs_in_lists = lists[0].runs().size();
    };
    for (const auto& generation : TRY(index_->generations())) {
        uint32_t number = generation.first;
        if (number <= from || number > to) continue;
        BlockRuns& runs = lists.emplace_back();
        auto visited = index_->visit_runs(number, [&](uint32_t, std::span<const std::byte> bytes) -> Result<void> {
            auto decoded = BlockRuns::decode(bytes);
            if (!decoded) return fail(EIO, "{}: changes of generation {}: {}", folder(), number, decoded.error().message);
            for (const BlockRun& run : decoded->runs()) runs.add(run.first, run.count);
            return {};
        });
        TRY(std::move(visited));
        runs.normalise();
        runs_in_lists += runs.runs().size();
        if (runs_in_lists > BlockRuns::runs_max) join();
    }
    if (pruned_.pruned(from) || pruned_.pruned(to))
        return fail(ESTALE, "{}: generation {} was pruned", folder(), pruned_.pruned(from) ? from : to);
    join();
    return std::move(lists[0]);
}

Result<std::shared_ptr<const File>> Volume::data_file(uint32_t number, uint64_t end) const {
    std::lock_guard lock(mutex_);
    auto at = files_.find(number);
    if (at != files_.end() && at->second->size_bytes() >= end) return at->second;
    auto file = TRY(File::open(paths_.data_file(number), engine_.io()));
    if (files_.size() >= files_open_max) files_.clear();  // those in use are held by their pieces
    files_[number] = file;
    return file;
}

}  // namespace hyper
