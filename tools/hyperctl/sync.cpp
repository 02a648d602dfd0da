// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <future>
#include <optional>

#include "convert/remote/remote.h"
#include "providers/ledger.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/rates.h"
#include "tools/hyperctl/size.h"
#include "tools/hyperctl/sync_run.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct SyncCommand {
    OperandOptions operands;
    std::string source, volume, limit_rate, run;
    bool create = false, full = false, trust = false, progress = false, json = false, all_disks = false;
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

// The change id that a source is to be compared with: some providers have to know it when they take a snapshot. Empty where there is none.
Result<std::string> newest_change_id(Engine& engine, const VolumeOperand& target) {
    if (!is_volume(target.folder)) return std::string();
    auto volume = TRY(target.open(engine));
    auto generations = TRY(volume->generations());
    return generations.empty() ? std::string() : generations.back().origin.change_id;
}

Result<SyncOptions> sync_options(const SyncCommand& options) {
    SyncOptions how;
    how.compare_all = options.full;
    how.trust = options.trust;
    how.threads = options.threads;
    how.limits.retries_max = options.retries;
    how.limits.reads_per_second_max = options.limit_requests;
    how.run = options.run;
    if (options.limit_rate == "-")
        how.limits.bytes_per_second_now = TRY(read_rates(STDIN_FILENO));
    else if (!options.limit_rate.empty())
        how.limits.bytes_per_second_max = TRY(parse_size(options.limit_rate));
    return how;
}

// That of an earlier sync for the same run, whose end its caller may not have seen.
Result<std::optional<Generation>> made_before(Engine& engine, const SyncCommand& options, const VolumeOperand& target) {
    if (options.run.empty() || !is_volume(target.folder)) return std::nullopt;
    auto volume = TRY(target.open(engine));
    for (const Generation& one : TRY(volume->generations()))
        if (one.run == options.run) return one;
    return std::nullopt;
}

RemoteWish tracking() {
    RemoteWish wish;
    wish.track = true;
    return wish;
}

Result<int> sync(Engine& engine, SyncCommand& options) {
    auto how = TRY(sync_options(options));
    auto target = TRY(options.operands.root().operand(options.volume));
    if (auto made = TRY(made_before(engine, options, target))) {
        if (options.json)
            print_json(json_of(*made));
        else
            fmt::print("generation {} was made for this run already\n", number_and_time(*made));
        return exit_ok;
    }
    if (is_remote(options.source)) {
        RemoteWish wish = tracking();
        wish.since = TRY(newest_change_id(engine, target));
        options.operands.set_remote(std::move(wish));
    }
    // Opening a volume to be written is mostly waiting for the disk. None is made before the source is known to be there.
    auto opened = std::async(options.create ? std::launch::deferred : std::launch::async, [&] { return open_target(engine, options, target); });
    auto operand = TRY(options.operands.open(engine, options.source));
    auto source = TRY(sync_source_of(operand));
    auto writer = TRY(opened.get());
    return run_sync(*writer, source, how, {target.name, options.progress, options.json});
}

// All disks of a machine, as they were at one moment, each into a volume of the folder. Where one fails the others go on.
Result<int> sync_together(Engine& engine, SyncCommand& options) {
    if (!is_remote(options.source)) return fail(EINVAL, "{}: --all-disks is for a provider's machine (as libvirt://DOMAIN)", options.source);
    auto how = TRY(sync_options(options));
    how.run = unique_text();  // restore finds by it what belongs together
    // A name of --root is a path beneath its folder of volumes.
    bool path = options.volume.find('/') != std::string::npos;
    const std::string folder = path ? options.volume : options.operands.root().volumes_folder() + "/" + options.volume;
    auto target_of = [&](const std::string& disk) { return options.operands.root().operand(folder + "/" + disk.substr(disk.rfind('/') + 1) + ".volume"); };
    auto since_of = [&](const std::string& disk) -> Result<std::string> {
        auto target = TRY(target_of(disk));
        if (!options.create) TRY(target.must_be_there());
        return newest_change_id(engine, target);
    };
    auto images = TRY(open_remotes_together(engine, options.source, tracking(), since_of));
    if (options.create) std::filesystem::create_directories(folder);
    int worst = exit_ok;
    Json reports = Json::array();
    for (const NamedImage& disk : images) {
        auto one = [&]() -> Result<int> {
            auto target = TRY(target_of(disk.name));
            auto writer = TRY(open_target(engine, options, target));
            SyncSource source{disk.image, disk.image->path(), disk.image->changes(), TRY(companions_to_keep(*disk.image))};
            if (!options.json) fmt::print("{}disk:               {}\n", &disk == &images.front() ? "" : "\n", printable(disk.name));
            Json report;
            int status = TRY(run_sync(*writer, source, how, {target.name, options.progress, options.json, &report}));
            if (!report.is_null()) reports.push_back({{"disk", disk.name}, {"volume", target.folder}, {"report", std::move(report)}});
            return status;
        }();
        if (!one) fmt::print(stderr, "hyperctl: {}\n", one.error().message);
        worst = std::max(worst, one ? *one : int{exit_error});
        if (worst == exit_interrupted) break;
    }
    if (options.json) print_json(reports);
    return worst;
}

// Programs are told what kind of error it was.
Result<int> sync_and_tell(Engine& engine, SyncCommand& options) {
    auto code = options.all_disks ? sync_together(engine, options) : sync(engine, options);
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
    command->add_option("--limit-rate", options->limit_rate, "read at most so many bytes a second: 50M; -: as many as the newest line of standard input says")
        ->type_name("BYTES");
    command->add_option("--limit-requests", options->limit_requests, "read at most so many times a second")->type_name("N");
    command->add_option("--retries", options->retries, "tries of a read after the first (5)")->type_name("N")->check(CLI::Range(0u, 100u));
    auto* run = command->add_option("--run", options->run, "what this sync is for: where the volume has a generation that was made for it, that one is told")->type_name("KEY");
    command->add_flag("--all-disks", options->all_disks, "SOURCE is a machine: all its disks at one moment, into VOLUME/DISK.volume each")->excludes(run);
    command->add_flag("-p,--progress", options->progress, "show progress; with --json as lines of JSON");
    command->add_flag("--json", options->json, "print JSON about what was done, or why it was not");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return sync_and_tell(engine, *options); };
    });
}

}  // namespace hyper::ctl
