// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>

#include "blockengine/volume/volume_draft.h"
#include "convert/remote/remote.h"
#include "convert/volume/lazy.h"
#include "nbdserver/watch/trace_format.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/size.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct CreateOptions {
    OperandOptions operands;
    std::string name, block_size = "64K", data_file_size = "1G", from, prefetch;
    bool no_compress = false, lazy = false, trust = false;
};

// The ranges that a trace reads, in its order, each once; the first ones, where there are too many.
Result<std::vector<ChangedRun>> ranges_of_trace(const std::string& path) {
    auto trace = TRY(watch::TraceReader::open(path));
    std::vector<std::pair<uint64_t, ChangedRun>> reads;
    constexpr size_t reads_max = 1 << 20;
    while (auto entry = TRY(trace.next())) {
        const watch::TracedRequest& request = entry->request;
        if (request.command == watch::Command::read && request.length > 0 && reads.size() < reads_max)
            reads.push_back({request.start_ns, {request.offset, request.length}});
    }
    std::ranges::stable_sort(reads, {}, &std::pair<uint64_t, ChangedRun>::first);
    // By the MiB, as they are fetched.
    std::set<uint64_t> seen;
    std::vector<ChangedRun> ranges;
    for (const auto& [start, read] : reads) {
        for (uint64_t unit = read.offset / MiB; unit <= (read.offset + read.length - 1) / MiB; ++unit) {
            if (!seen.insert(unit).second) continue;
            if (!ranges.empty() && ranges.back().offset + ranges.back().length == unit * MiB)
                ranges.back().length += MiB;
            else if (ranges.size() == LazySource::first_max)
                return ranges;
            else
                ranges.push_back({unit * MiB, MiB});
        }
    }
    return ranges;
}

Result<LazySource> lazy_source(Engine& engine, const CreateOptions& options) {
    LazySource source;
    source.name = options.from;
    source.format = options.operands.format();
    if (!is_remote(options.from)) {
        auto file = TRY(options.operands.file_of(options.from, options.operands.format()));
        if (!file) return fail(ENOENT, "{}: there is no such file (a file, a volume's generation or a provider's URI may be named)", options.from);
        source.name = std::filesystem::absolute(file->first).string();
        source.snapshot = file->second.snapshot;
    }
    if (!options.prefetch.empty()) source.first = TRY(ranges_of_trace(options.prefetch));
    TRY(identify_lazy_source(engine, source, options.trust));
    return source;
}

Result<int> create(Engine& engine, const CreateOptions& options) {
    if (options.from.empty() && (options.lazy || options.trust || !options.prefetch.empty()))
        return fail(EINVAL, "--lazy, --prefetch and --trust are about the disk of --from");
    if (!options.from.empty() && !options.lazy)
        return fail(EINVAL, "--from wants --lazy; hyperctl sync --create {} {} fetches all of it now", options.from, options.name);
    auto operand = TRY(options.operands.root().operand(options.name));
    TRY(operand.refuse_generation());
    uint64_t block_bytes = TRY(parse_size(options.block_size));
    if (block_bytes > block_bytes_max)
        return fail(EINVAL, "--block-size {}: must be a power of two from 4K to 4M", options.block_size);
    VolumeOptions made;
    made.block_bytes = static_cast<uint32_t>(block_bytes);
    made.compress = !options.no_compress;
    made.data_file_bytes_max = TRY(parse_size(options.data_file_size));
    if (made.data_file_bytes_max < 64 << 20 || made.data_file_bytes_max > uint64_t{1} << 40)
        return fail(EINVAL, "--data-file-size {}: must be from 64M to 1T", options.data_file_size);
    if (!options.lazy) {
        TRY(options.operands.root().create(engine, operand, made));
        return exit_ok;
    }
    LazySource source = TRY(lazy_source(engine, options));
    auto writer = TRY(options.operands.root().create(engine, operand, made));
    TRY(VolumeDraft::begin_lazy(*writer, source));
    return exit_ok;
}

}  // namespace

void add_volume_create(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("create", "Make a volume, without a generation yet");
    auto options = std::make_shared<CreateOptions>();
    command->add_option("VOLUME", options->name, VolumeRoot::help)->required();
    options->operands.add_to(*command, false);
    command->add_option("--from", options->from, "fill it from this disk: FILE, VOLUME@GENERATION or a provider's URI")->type_name("SOURCE");
    command->add_flag("--lazy", options->lazy, "while it is used: what is read and not here yet is fetched then, the rest in between");
    command->add_option("--prefetch", options->prefetch, "fetch first what this trace of hypernbd reads, as of a boot")->type_name("TRACE");
    command->add_flag("--trust", options->trust, "believe that SOURCE stays what it is, where it does not say which state it has");
    command->add_option("--block-size", options->block_size, "what is stored and compared as one: 4K to 4M (64K)")->type_name("SIZE");
    command->add_flag("--no-compress", options->no_compress, "store blocks as they are");
    command->add_option("--data-file-size", options->data_file_size, "how large a data file gets (1G)")->type_name("SIZE");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return create(engine, *options); };
    });
}

}  // namespace hyper::ctl
