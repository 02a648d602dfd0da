// SPDX-License-Identifier: Apache-2.0
// A rollback adds a generation with the content of an old one; nothing is taken away.
#include <fmt/format.h>

#include <cerrno>
#include <chrono>
#include <optional>

#include "blockengine/volume/store_blocks.h"
#include "blockengine/volume/volume_draft.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/progress.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct RollbackOptions {
    VolumeRoot root;
    std::string name;
    bool progress = false, json = false;
};

// Where the newest and the pending generation may differ from `target`.
Result<BlockRuns> blocks_to_look_at(const VolumeWriter& writer, const Generation& target, const Generation& newest) {
    BlockRuns runs = TRY(writer.volume()->changed(target.number, newest.number)), pending = TRY(writer.pending_runs());
    for (const BlockRun& run : pending.runs()) runs.add(run.first, run.count);
    runs.normalise();
    return runs;
}

Result<int> rollback(Engine& engine, const RollbackOptions& options) {
    auto operand = TRY(options.root.operand(options.name));
    if (operand.generation.empty()) return fail(EINVAL, "{}: say which generation, as {}@41", operand.name, operand.name);
    auto writer = TRY(operand.open_to_write(engine));
    if (TRY(find_draft(*writer)) == DraftFound::written)
        return fail(EBUSY, "{}: has a draft of what was written to it (hyperctl volume commit makes a generation of it, discard throws it away)",
                    operand.name);
    auto target = TRY(writer->volume()->find(operand.generation)), newest = TRY(writer->volume()->find("latest"));
    if (target.number == newest.number)
        return fail(EINVAL, "{}: generation {} is the newest: there is nothing to roll back", operand.name, target.number);
    auto source = TRY(writer->volume()->open_generation(target));
    BlockRuns runs = TRY(blocks_to_look_at(*writer, target, newest));
    std::optional<Progress> progress(std::in_place, options.progress, runs.block_count() * writer->volume()->block_bytes());
    StoreOptions how;
    how.threads = reader_threads();
    how.refer_to = target.number;
    how.done = [&](uint64_t bytes) { progress->add(bytes); };
    how.stop = interrupted;
    auto counts = TRY(store_blocks(*writer, *source, runs, std::nullopt, how));
    int64_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
    // The next sync of the disk compares everything, since this is no state that its source knows.
    auto companions = TRY(read_companions(*writer->volume(), target));
    auto made = TRY(writer->commit({.size_bytes = target.size_bytes,
                                    .time = now,
                                    .origin = {"rollback", fmt::to_string(target.number)},
                                    .draft_id = "",
                                    .companions = companions}));
    progress.reset();
    if (made.root != target.root)
        return fail(EIO, "{}: generation {} was made, but its root is not that of generation {} (hyperctl volume verify tells more)",
                    operand.name, made.number, target.number);
    if (options.json)
        print_json(json_of(made));
    else
        fmt::print("generation {} is what generation {} was; {} differed, {} stored\n", number_and_time(made), number_and_time(target),
                   human_bytes(counts.different_bytes), human_bytes(counts.stored_bytes));
    return exit_ok;
}

}  // namespace

void add_volume_rollback(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("rollback", "Add a generation with the content of an old one");
    auto options = std::make_shared<RollbackOptions>();
    command->add_option("VOLUME@GENERATION", options->name, "the old one")->required();
    options->root.add_to(*command);
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return rollback(engine, *options); };
    });
}

}  // namespace hyper::ctl
