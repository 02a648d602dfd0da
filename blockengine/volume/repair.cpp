// SPDX-License-Identifier: Apache-2.0
// Design note: the data files have all that the index has, but for the tree of hashes, which is computed anew. They are read twice: for
// which runs were committed and what was pruned, then for their blocks. Records are self-describing, so a damaged one costs its own blocks;
// since nobody knows which those were, every generation's root is then checked.
#include "blockengine/volume/repair.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "blockengine/base/bytes.h"
#include "blockengine/volume/companions.h"
#include "blockengine/volume/data_file.h"
#include "blockengine/volume/data_scan.h"
#include "blockengine/volume/parts.h"
#include "blockengine/volume/small_file.h"
#include "blockengine/volume/stored_tree.h"
#include "blockengine/volume/volume_lock.h"
#include "blockengine/volume/volume_writer.h"

namespace hyper {

namespace {

namespace fs = std::filesystem;

// The numbers of the data files that are there, ascending.
Result<std::vector<uint32_t>> data_files(const VolumePaths& paths) {
    std::vector<uint32_t> numbers;
    std::error_code error;
    for (fs::directory_iterator at(paths.data(), error); !error && at != fs::directory_iterator(); at.increment(error)) {
        std::string name = at->path().filename().string();
        uint32_t number = 0;
        auto [end, wrong] = std::from_chars(name.data(), name.data() + name.size(), number);
        if (wrong == std::errc() && end == name.data() + name.size() && number > 0) numbers.push_back(number);
    }
    if (error) return fail(error.value(), "{}: read the folder: {}", paths.data(), errno_text(error.value()));
    std::ranges::sort(numbers);
    return numbers;
}

// What they take, which what has been pruned does not any more.
Result<uint64_t> bytes_of_data_files(const VolumePaths& paths) {
    uint64_t bytes = 0;
    for (uint32_t number : TRY(data_files(paths))) {
        struct stat status {};
        if (::stat(paths.data_file(number).c_str(), &status) == 0) bytes += static_cast<uint64_t>(status.st_blocks) * 512;
    }
    return bytes;
}

// Makes a new index of what the data files say.
class Rebuild {
  public:
    Rebuild(Engine& engine, const VolumePaths& paths, RepairReport& report, const RepairOptions& options)
        : engine_(engine), paths_(paths), report_(report), options_(options) {}

    Result<void> run() {
        VolumeInfo info = TRY(read_volume_info(paths_.folder));
        std::string old = paths_.index() + ".old";
        std::error_code ignored;
        fs::remove_all(old, ignored);
        if (::rename(paths_.index().c_str(), old.c_str()) != 0 && errno != ENOENT)
            return fail(errno, "{}: move away: {}", paths_.index(), errno_text(errno));
        TRY(sync_folder(paths_.folder));
        index_ = TRY(Index::create(paths_.index()));
        auto numbers = TRY(data_files(paths_));
        auto first = [&](uint32_t file, const ScannedRecord& record) { return note(file, record); };
        auto second = [&](uint32_t, const ScannedRecord& record) { return enter(record); };
        TRY(scan(numbers, info.id, first, true));
        for (size_t i = 0; i < numbers.size(); ++i)
            if (numbers[i] != i + 1) report_.damage.push_back(fmt::format("{}: a data file before it is missing", paths_.data_file(numbers[i])));
        TRY(scan(numbers, info.id, second, false));
        return finish();
    }

  private:
    template <class OnRecord>
    Result<void> scan(const std::vector<uint32_t>& numbers, const VolumeId& id, const OnRecord& on_record, bool tell_damage) {
        for (uint32_t number : numbers) {
            auto file = TRY(File::open(paths_.data_file(number), engine_.io()));
            ScanVisitor visitor;
            visitor.record = [&](const ScannedRecord& record) -> Result<void> {
                if (options_.stop && options_.stop()) return fail(ECANCELED, "interrupted");
                return on_record(number, record);
            };
            visitor.damaged = [&](uint64_t offset, uint64_t length, const std::string& why) -> Result<void> {
                if (tell_damage)
                    report_.damage.push_back(fmt::format("{}: {} bytes at offset {}: {}", file->path(), length, offset, why));
                return {};
            };
            TRY(scan_data_file(*file, number, id, visitor));
        }
        return {};
    }

    Result<void> note(uint32_t file, const ScannedRecord& record) {
        if (record.head.sequence >= position_.sequence) position_ = {file, record.end, record.head.sequence + 1};
        if (record.head.kind == RecordKind::generation) {
            auto generation = Generation::from_json(record.text);
            if (!generation || generation->number != record.head.generation)
                report_.damage.push_back(fmt::format("{}: record at offset {} is of no generation", paths_.data_file(file), record.offset));
            else
                generations_[generation->number] = *generation;
        }
        if (record.head.kind == RecordKind::pruned) {
            auto numbers = nlohmann::json::parse(record.text, nullptr, false);
            if (numbers.is_array())
                for (const auto& number : numbers)
                    if (number.is_number_unsigned()) pruned_.insert(number.get<uint32_t>());
        }
        return {};
    }

    Result<void> enter(const ScannedRecord& record) {
        uint32_t number = record.head.generation;
        auto generation = generations_.find(number);
        if (record.head.kind != RecordKind::batch || generation == generations_.end() || generation->second.attempt != record.head.attempt)
            return {};
        IndexBatch batch;
        BlockRuns runs;
        for (const BatchEntry& entry : record.entries) {
            batch.put_block(entry.block, number, entry.entry);
            runs.add(entry.block, 1);
        }
        runs.normalise();
        batch.put_runs(number, sequences_[number]++, runs.encode());
        return index_->write(batch, false);
    }

    Result<void> finish() {
        IndexBatch batch;
        for (const auto& [number, generation] : generations_) batch.put_generation(number, generation.to_json());
        VolumeWriter::save_position(batch, position_);
        TRY(index_->write(batch, true));
        // What was pruned is still to be taken out of the index: the next writer does that for what is marked.
        TRY(PrunedMarks::create(paths_.pruned()));
        auto marks = TRY(PrunedMarks::open(paths_.pruned(), true));
        for (uint32_t number : pruned_) TRY(marks.mark(number));
        uint32_t newest = generations_.empty() ? 0 : generations_.rbegin()->first;
        auto told = read_small_file(paths_.latest());
        if (told && std::strtoul(told->c_str(), nullptr, 10) > newest)
            report_.damage.push_back(fmt::format("generation {} was committed, and is in no data file", *told));
        return write_small_file(paths_.latest(), std::to_string(newest));
    }

    Engine& engine_;
    const VolumePaths& paths_;
    RepairReport& report_;
    const RepairOptions& options_;
    std::unique_ptr<Index> index_;
    DataPosition position_;
    std::map<uint32_t, Generation> generations_;
    std::map<uint32_t, uint32_t> sequences_;
    std::set<uint32_t> pruned_;
};

// The tree of the newest generation, from its content. Leaves of lost blocks are left as zeros, until they are stored anew.
Result<void> rebuild_tree(VolumeWriter& writer, const Generation& newest) {
    const Volume& volume = *writer.volume();
    const uint64_t unit_bytes = unit_bytes_of(volume.block_bytes());
    auto source = TRY(volume.open_generation(newest));
    BlockRuns runs = TRY(stored_runs(volume, newest.number));
    PartWalk walk(runs, unit_bytes / volume.block_bytes(), 1, 0);
    StoredTree tree(writer.index(), newest.number);
    std::vector<std::byte> bytes(unit_bytes);
    Part part;
    while (walk.next(part)) {
        uint64_t offset = part.units[0] * unit_bytes, length = std::min(unit_bytes, newest.size_bytes - offset);
        auto content = std::span(bytes).first(length);
        if (!volume.engine().read(*source, offset, content)) continue;
        for (uint64_t at = 0; at < length; at += leaf_bytes)
            TRY(tree.set_leaf((offset + at) / leaf_bytes, leaf_hash(content.subspan(at, std::min(leaf_bytes, length - at)))));
        IndexBatch batch;
        TRY(tree.save(batch));
        TRY(writer.index().write(batch, false));
    }
    return {};
}

// Reads every stored block. What is damaged is entered as lost.
Result<void> check_blocks(VolumeWriter& writer, RepairReport& report, const RepairOptions& options) {
    const Volume& volume = *writer.volume();
    const uint64_t block_bytes = volume.block_bytes();
    auto all = TRY(volume.generations());
    report.generations = static_cast<uint32_t>(all.size());
    IndexBatch batch;
    auto cursor = TRY(writer.index().cursor());
    uint64_t block = ~uint64_t{0};
    uint32_t newer = 0;  // the generation of the same block's next newer entry; 0: there is none
    bool stopped = false;
    TRY(cursor->visit(0, [&](const BlockCursor::Found& found) {
        if (options.stop && options.stop()) {
            stopped = true;
            return false;
        }
        newer = found.block == block ? newer : 0;
        block = found.block;
        auto judged = judge(volume, found.entry);
        ++report.blocks;
        if (options.done) options.done(found.entry.place.stored_bytes);
        if (judged.verdict != Verdict::good) {
            BlockEntry lost;
            lost.codec = BlockCodec::lost;
            if (judged.verdict == Verdict::corrupt) batch.put_block(block, found.generation, lost);
            for (const Generation& one : all) {
                bool sees = one.number >= found.generation && (newer == 0 || one.number < newer) && block * block_bytes < one.size_bytes;
                if (sees)
                    report.lost.push_back({one.number, {block * block_bytes, std::min(block_bytes, one.size_bytes - block * block_bytes),
                                                        judged.verdict, judged.why}});
            }
        }
        newer = found.generation;
        return true;
    }));
    if (stopped) return fail(ECANCELED, "interrupted");
    if (!report.lost.empty()) batch.set(lost_blocks_name, "1");
    std::ranges::sort(report.lost, {}, [](const RepairReport::Lost& lost) { return std::pair(lost.generation, lost.range.offset); });
    return writer.index().write(batch, true);
}

Result<void> check_roots(VolumeWriter& writer, RepairReport& report, const RepairOptions& options) {
    IndexBatch batch;
    for (const Generation& generation : TRY(writer.volume()->generations())) {
        VerifyOptions verify;
        verify.stop = options.stop;
        auto verified = TRY(verify_generation(*writer.volume(), generation, verify));
        if (!verified.root || *verified.root == generation.root) continue;
        report.wrong_roots.push_back(generation.number);
        batch.set(wrong_root_name(generation.number), "1");
        batch.set(lost_blocks_name, "1");
    }
    return writer.index().write(batch, true);
}

void check_companions(const Volume& volume, const std::vector<Generation>& generations, RepairReport& report) {
    for (const Generation& generation : generations)
        for (const Companion& companion : generation.companions)
            if (auto read = read_companion(volume, generation, companion); !read)
                report.companions.push_back(fmt::format("generation {}: {}", generation.number, read.error().message));
}

// Why the index has to be made anew; nullopt where it is as it should be.
std::optional<std::string> what_is_wrong_with_index(const VolumePaths& paths, const RepairOptions& options) {
    if (options.rebuild_index) return "it was asked for";
    auto index = Index::open_to_write(paths.index());
    if (!index) return index.error().message;
    auto generations = (*index)->generations();
    if (!generations) return generations.error().message;
    auto told = read_small_file(paths.latest());
    uint32_t newest = generations->empty() ? 0 : generations->back().first;
    if (told && std::strtoul(told->c_str(), nullptr, 10) > newest)
        return fmt::format("it knows of generation {} at most, and {} was committed", newest, *told);
    return std::nullopt;
}

}  // namespace

Result<RepairReport> repair_volume(Engine& engine, const std::string& folder, const RepairOptions& options) {
    RepairReport report;
    VolumePaths paths(folder);
    TRY(read_volume_info(folder));
    {
        UniqueFd lock = TRY(lock_volume(paths));
        if (auto wrong = what_is_wrong_with_index(paths, options)) {
            report.index_rebuilt = true;
            report.why_rebuilt = *wrong;
            TRY(Rebuild(engine, paths, report, options).run());
        }
    }
    if (options.planned) options.planned(TRY(bytes_of_data_files(paths)));
    auto writer = TRY(VolumeWriter::open(engine, folder));
    TRY(check_blocks(*writer, report, options));
    auto all = TRY(writer->volume()->generations());
    if (report.index_rebuilt && !all.empty()) TRY(rebuild_tree(*writer, all.back()));
    check_companions(*writer->volume(), all, report);
    if (!report.damage.empty()) TRY(check_roots(*writer, report, options));
    return report;
}

}  // namespace hyper
