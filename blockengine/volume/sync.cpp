// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/sync.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <random>

#include "blockengine/base/bytes.h"
#include "blockengine/base/log.h"
#include "blockengine/volume/volume_draft.h"

namespace hyper {

namespace {

using Clock = std::chrono::steady_clock;

std::string distrust_name(const Origin& origin) { return "distrust " + origin.source; }

struct Plan {
    BlockRuns runs;
    std::string why_all;  // empty where only what changed is looked at
    uint64_t reported_bytes = 0;
};

class Sync {
  public:
    Sync(VolumeWriter& writer, const SyncSource& source, const SyncOptions& options)
        : writer_(writer), source_(source), options_(options), block_bytes_(writer.volume()->block_bytes()) {
        origin_ = source.changes ? Origin{source.changes->disk(), source.changes->change_id()} : Origin{source.name, ""};
    }

    Result<SyncReport> run() {
        auto start = Clock::now();
        SyncReport report;
        if (source_.source->size_bytes() == 0) return fail(EINVAL, "{}: the disk is of no size", origin_.source);
        if (TRY(find_draft(writer_)) == DraftFound::written)
            return fail(EBUSY, "{}: has a draft of what was written to it (hyperctl volume commit makes a generation of it, discard throws it away)",
                        writer_.volume()->folder());
        if (options_.trust) TRY(forget(distrust_name(origin_)));
        Plan plan = TRY(make_plan());
        if (plan.why_all.empty()) {
            if (auto wrong = TRY(sample(plan.runs, report.sampled_blocks))) {
                TRY(distrust(*wrong));
                plan.why_all = *wrong;
                plan.runs = TRY(blocks_to_compare(writer_, *source_.source));
            }
        }
        report.compared_all = !plan.why_all.empty();
        report.why_all = plan.why_all;
        report.reported_bytes = plan.reported_bytes;
        VolumeWriter::Progress progress{origin_, source_.source->size_bytes(), 0, report.compared_all};
        if (can_resume(report.compared_all)) {
            progress.next_block = writer_.progress()->next_block;
            report.resumed = true;
        }
        report.looked_at_bytes = bytes_after(plan.runs, progress.next_block);
        if (options_.planned) options_.planned(report.looked_at_bytes);
        report.counts = TRY(store_blocks(writer_, *source_.source, plan.runs, progress, store_options()));
        int64_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
        report.generation = TRY(writer_.commit({.size_bytes = source_.source->size_bytes(),
                                                .time = options_.time != 0 ? options_.time : now,
                                                .origin = origin_,
                                                .draft_id = "",
                                                .companions = source_.companions,
                                                .run = options_.run}));
        if (source_.changes) source_.changes->kept();
        if (report.compared_all) TRY(forget(std::string(lost_blocks_name)));
        report.seconds = std::chrono::duration<double>(Clock::now() - start).count();
        return report;
    }

  private:
    StoreOptions store_options() const {
        StoreOptions options;
        options.threads = options_.threads;
        options.limits = options_.limits;
        options.done = options_.done;
        options.stop = options_.stop;
        return options;
    }

    uint64_t bytes_after(const BlockRuns& runs, uint64_t first_block) const {
        uint64_t blocks = 0;
        for (const BlockRun& run : runs.runs())
            if (run.first + run.count > first_block) blocks += run.first + run.count - std::max(run.first, first_block);
        return blocks * block_bytes_;
    }

    // An earlier run read the very same state, so what it is through with need not be read again; unless it took the source's word
    // for what this one is to compare.
    bool can_resume(bool compare_all) const {
        const auto& progress = writer_.progress();
        return progress && (progress->compared_all || !compare_all) && !origin_.change_id.empty() && progress->origin == origin_ &&
               progress->size_bytes == source_.source->size_bytes();
    }

    Result<Plan> make_plan() {
        Plan plan;
        auto changed = TRY(known_changes(plan.why_all));
        if (!changed) {
            plan.runs = TRY(blocks_to_compare(writer_, *source_.source));
            return plan;
        }
        for (const ChangedRun& run : *changed) {
            if (!range_within(run.offset, run.length, source_.source->size_bytes()))
                return fail(EIO, "{}: says that {} bytes at offset {} changed, past its end", origin_.source, run.length, run.offset);
            plan.reported_bytes += run.length;
            if (run.length == 0) continue;
            uint64_t first = run.offset / block_bytes_;
            plan.runs.add(first, divide_up(run.offset + run.length, block_bytes_) - first);
        }
        // An interrupted run may have stored what is not so any more.
        BlockRuns pending = TRY(writer_.pending_runs());
        for (const BlockRun& run : pending.runs()) plan.runs.add(run.first, run.count);
        plan.runs.normalise();
        return plan;
    }

    Result<std::optional<std::vector<ChangedRun>>> known_changes(std::string& why_not) {
        auto all = TRY(writer_.volume()->generations());
        if (options_.compare_all) {
            why_not = "it was asked for";
            return std::nullopt;
        }
        if (all.empty()) {
            why_not = "the volume has no generation yet";
            return std::nullopt;
        }
        const Generation& base = all.back();
        if (!source_.changes)
            why_not = "the source keeps no track of changes";
        else if (base.origin.source != origin_.source)
            why_not = fmt::format("generation {} is of another source ({})", base.number, base.origin.source);
        else if (base.origin.change_id.empty())
            why_not = fmt::format("generation {} has no change id", base.number);
        else if (base.size_bytes != source_.source->size_bytes())
            why_not = fmt::format("the disk had {} bytes and has {}", base.size_bytes, source_.source->size_bytes());
        else if (TRY(writer_.index().get(lost_blocks_name)))
            why_not = "blocks of the volume were found lost, and are stored anew where the source still has them";
        else if (auto reason = TRY(writer_.index().get(distrust_name(origin_))))
            why_not = fmt::format("its tracking is not trusted since it was found wrong: {} (--trust to believe it again)", *reason);
        if (!why_not.empty()) return std::nullopt;
        auto changed = TRY(source_.changes->changed_since(base.origin.change_id));
        if (!changed) why_not = fmt::format("the source does not know what changed since \"{}\"", base.origin.change_id);
        return changed;
    }

    // Reads some blocks that are said to be unchanged. Gives what is wrong, if anything is.
    Result<std::optional<std::string>> sample(const BlockRuns& runs, unsigned& sampled) {
        std::mt19937_64 draw(options_.sample_seed != 0 ? options_.sample_seed : std::random_device{}());
        const uint64_t size = source_.source->size_bytes(), block_count = divide_up(size, block_bytes_);
        auto cursor = TRY(writer_.volume()->index().cursor());
        std::vector<std::byte> bytes(block_bytes_);
        for (unsigned i = 0; i < options_.sampled_blocks; ++i) {
            // Where the volume has something, so that not only holes are looked at.
            uint64_t drawn = draw() % block_count;
            auto found = TRY(cursor->next(drawn, block_count, writer_.pending()));
            uint64_t block = found ? found->block : drawn;
            bool lost = found && found->entry.codec == BlockCodec::lost;  // what it was is not known
            if (lost || runs.contains(block)) continue;
            ++sampled;
            auto there = std::span(bytes).first(std::min<uint64_t>(block_bytes_, size - block * block_bytes_));
            TRY(writer_.volume()->engine().read(*source_.source, block * block_bytes_, there));
            bool zeros = !found || found->entry.codec == BlockCodec::zeros;
            if (zeros ? !all_zero(there) : found->entry.hash != xxh3_128(there))
                return fmt::format("block at offset {} was said to be unchanged, and differs", block * block_bytes_);
        }
        return std::nullopt;
    }

    Result<void> distrust(const std::string& why) {
        log_warning("{}: {}; everything is compared", origin_.source, why);
        IndexBatch batch;
        batch.set(distrust_name(origin_), why);
        return writer_.index().write(batch, true);
    }

    Result<void> forget(const std::string& name) {
        if (!TRY(writer_.index().get(name))) return {};
        IndexBatch batch;
        batch.unset(name);
        return writer_.index().write(batch, true);
    }

    VolumeWriter& writer_;
    const SyncSource& source_;
    Origin origin_;
    const SyncOptions& options_;
    const uint64_t block_bytes_;
};

}  // namespace

Result<SyncReport> sync_volume(VolumeWriter& writer, const SyncSource& source, const SyncOptions& options) {
    return Sync(writer, source, options).run();
}

}  // namespace hyper
