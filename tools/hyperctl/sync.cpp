// SPDX-License-Identifier: Apache-2.0
#include <cerrno>
#include <future>

#include "convert/remote/remote.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/size.h"
#include "tools/hyperctl/sync_run.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct SyncCommand {
    OperandOptions operands;
    std::string source, volume, limit_rate;
    bool create = false, full = false, trust = false, progress = false, json = false;
    unsigned threads = reader_threads(), retries = ReadLimits().retries_max;
    uint64_t limit_requests = 0;
};

Result<std::unique_ptr<VolumeWriter>> open_target(Engine& engine, const SyncCommand& options, const VolumeOperand& target) {
    TRY(target.refuse_generation());
    if (options.create && !is_volume(target.folder)) return options.operands.root().create(engine, target, {});
    auto writer = target.open_to_write(engine);
    if (!writer && writer.error().code == ENOENT && !is_volume(target.folder))
        return fail(ENOENT, "{}: there is no volume {} (--create makes it)", target.name, target.folder);
    return writer;
}

// What the source is to be compared with, for providers that have to know that when they take a snapshot.
Result<RemoteWish> remote_wish(Engine& engine, const VolumeOperand& target) {
    RemoteWish wish;
    wish.track = true;
    if (!is_volume(target.folder)) return wish;
    auto volume = TRY(target.open(engine));
    auto generations = TRY(volume->generations());
    if (!generations.empty()) wish.since = generations.back().origin.change_id;
    return wish;
}

Result<int> sync(Engine& engine, SyncCommand& options) {
    auto target = TRY(options.operands.root().operand(options.volume));
    if (is_remote(options.source)) options.operands.set_remote(TRY(remote_wish(engine, target)));
    // Opening a volume to be written is mostly waiting for the disk. None is made before the source is known to be there.
    auto opened = std::async(options.create ? std::launch::deferred : std::launch::async, [&] { return open_target(engine, options, target); });
    auto operand = TRY(options.operands.open(engine, options.source));
    auto source = TRY(sync_source_of(operand));
    SyncOptions how;
    how.compare_all = options.full;
    how.trust = options.trust;
    how.threads = options.threads;
    how.limits.retries_max = options.retries;
    how.limits.reads_per_second_max = options.limit_requests;
    if (!options.limit_rate.empty()) how.limits.bytes_per_second_max = TRY(parse_size(options.limit_rate));
    auto writer = TRY(opened.get());
    return run_sync(*writer, source, how, {target.name, options.progress, options.json});
}

// Programs are told what kind of error it was.
Result<int> sync_and_tell(Engine& engine, SyncCommand& options) {
    auto code = sync(engine, options);
    if (!code && options.json) print_json({{"errno", code.error().code}, {"message", code.error().message}});
    return code;
}

}  // namespace

void add_sync(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("sync", "Bring a volume to a new generation from a disk: only what differs is stored");
    auto options = std::make_shared<SyncCommand>();
    command->add_option("SOURCE", options->source, "FILE, FILE@SNAPSHOT, VOLUME[@GENERATION], a provider's URI, or a name of --spec's disks")->required();
    command->add_option("VOLUME", options->volume, VolumeRoot::help)->required();
    options->operands.add_to(*command, false);
    command->add_flag("--create", options->create, "make VOLUME if it is not there");
    command->add_flag("--full", options->full, "compare everything, whatever the source knows of its changes");
    command->add_flag("--trust", options->trust, "believe the source again, after it was found wrong about its changes");
    command->add_option("--threads", options->threads, "how many read, hash and pack")->type_name("N")->check(CLI::Range(1u, 64u));
    command->add_option("--limit-rate", options->limit_rate, "read at most so many bytes a second: 50M")->type_name("BYTES");
    command->add_option("--limit-requests", options->limit_requests, "read at most so many times a second")->type_name("N");
    command->add_option("--retries", options->retries, "tries of a read after the first (5)")->type_name("N")->check(CLI::Range(0u, 100u));
    command->add_flag("-p,--progress", options->progress, "show progress; with --json as lines of JSON");
    command->add_flag("--json", options->json, "print JSON about what was done, or why it was not");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return sync_and_tell(engine, *options); };
    });
}

}  // namespace hyper::ctl
