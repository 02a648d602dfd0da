// SPDX-License-Identifier: Apache-2.0
// Brings a disk, or a view of one, to another place, and reads it back: an object store, an NBD server, a block device, a raw file.
#include <fmt/format.h>

#include <atomic>
#include <cerrno>
#include <cstring>

#include "convert/remote/remote.h"
#include "providers/failure.h"
#include "providers/registry.h"
#include "providers/s3/upload.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/export_since.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/progress.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/written_disk.h"

namespace hyper::ctl {

namespace {

struct PushOptions {
    OperandOptions operands;
    std::string source, target, since;
    bool progress = false, json = false;
};

Error error_of(const provider::Failure& failure, const std::string& target) {
    return {code_of_failure(failure.kind), fmt::format("{}: {} ({})", target, failure.message, failure_name(failure.kind))};
}

// The upload of this object that a process which is gone had begun; empty for none. It is this process's from now on.
std::string adopt_upload(const std::string& target, std::vector<LedgerEntry>& adopted) {
    auto entries = Registry::instance().ledger().entries();
    std::string upload_id;
    if (!entries) return upload_id;
    for (const LedgerEntry& entry : *entries) {
        if (entry.provider != "s3" || entry.kind != "upload" || entry.where != target || !Ledger::orphaned(entry)) continue;
        upload_id = entry.id;
        adopted.push_back(entry);
    }
    return upload_id;
}

Result<int> push_to_bucket(Engine& engine, const Source& source, const PushOptions& options) {
    auto uploader = s3::Uploader::open(options.target, Registry::instance().settings_of("s3"));
    if (!uploader) return tl::unexpected(error_of(uploader.error(), options.target));
    Ledger& ledger = Registry::instance().ledger();
    std::vector<LedgerEntry> adopted;
    std::string upload_id = adopt_upload(options.target, adopted);
    Progress progress(options.progress, source.size_bytes());
    std::optional<uint64_t> entry;
    std::optional<Error> unnoted;
    s3::UploadContent content;
    content.size_bytes = source.size_bytes();
    content.read = [&](uint64_t offset, std::span<std::byte> buffer) -> provider::Outcome<void> {
        auto read = engine.read(source, offset, buffer);
        if (!read) return provider::failed(HYPER_FATAL, read.error().message);
        return {};
    };
    s3::UploadHooks hooks;
    hooks.begun = [&](const std::string& id) {
        auto noted = ledger.note("s3", options.target, "upload", id);
        if (noted)
            entry = *noted;
        else
            unnoted = noted.error();
        for (const LedgerEntry& old : adopted) ledger.forget(old);
    };
    hooks.progress = [&](uint64_t bytes) { progress.add(bytes); };
    hooks.stop = [&] { return interrupted() || unnoted.has_value(); };
    auto uploaded = (*uploader)->upload(content, hooks, upload_id);
    if (unnoted) return tl::unexpected(*unnoted);
    if (!uploaded) {
        Error error = error_of(uploaded.error(), options.target);
        error.message += "; what is there is kept: run this again to go on, or hyperctl cleanup to remove it";
        return tl::unexpected(std::move(error));
    }
    if (entry) ledger.forget(*entry);
    for (const LedgerEntry& old : adopted) ledger.forget(old);
    if (options.json)
        print_json({{"target", options.target}, {"size-bytes", content.size_bytes}, {"sent-bytes", uploaded->sent_bytes},
                    {"etag", uploaded->etag}, {"version", uploaded->version}, {"verified", true}});
    else
        fmt::print("{}: {}, of which {} were sent; each part was checked by its hash\n", options.target, human_bytes(content.size_bytes),
                   human_bytes(uploaded->sent_bytes));
    return exit_ok;
}

// Everything that is data is written, everything else zeroed.
Result<uint64_t> write_all(Engine& engine, const Source& source, WrittenDisk& disk, bool progress_shown) {
    if (disk.size_bytes() < source.size_bytes())
        return fail(ENOSPC, "it has {} bytes, and the disk has {}", disk.size_bytes(), source.size_bytes());
    if (disk.size_bytes() > 0) TRY(disk.zero(0, disk.size_bytes()));
    DataWalk walk({&source});
    Progress progress(progress_shown, progress_shown ? TRY(walk.data_bytes()) : 0);
    std::atomic<uint64_t> written{0};
    auto write_chunk = [&](const Chunk& chunk) -> Result<void> {
        std::vector<std::byte> bytes(chunk.length);
        TRY(engine.read(source, chunk.offset, bytes));
        TRY(disk.write(chunk.offset, bytes));
        written += chunk.length;
        progress.add(chunk.length);
        return {};
    };
    TRY(walk_in_threads(walk, reader_threads(), [](const Chunk&) { return false; }, write_chunk));
    TRY(disk.flush());
    return written.load();
}

Result<void> read_back(Engine& engine, const Source& source, const std::string& target) {
    OpenOptions raw;
    raw.format = Format::raw;
    auto there = TRY(open_image(engine, target, raw));
    std::shared_ptr<const Source> expected(std::shared_ptr<const Source>(), &source);
    if (there->size_bytes() > source.size_bytes()) expected = std::make_shared<PaddedSource>(expected, there->size_bytes());
    DataWalk walk({expected.get(), there.get()});
    return walk_in_threads(
        walk, reader_threads(), [](const Chunk&) { return false; },
        [&](const Chunk& chunk) -> Result<void> {
            std::vector<std::byte> ours(chunk.length), theirs(chunk.length);
            TRY(engine.read(*expected, chunk.offset, ours));
            TRY(engine.read(*there, chunk.offset, theirs));
            if (std::memcmp(ours.data(), theirs.data(), chunk.length) == 0) return {};
            return fail(EIO, "{}: other bytes were read back, within {} bytes at offset {}", target, chunk.length, chunk.offset);
        });
}

Result<int> push(Engine& engine, const PushOptions& options) {
    auto operand = TRY(options.operands.open(engine, options.source));
    const Source& source = operand.source();
    if (uri_scheme(options.target) == "s3") {
        if (!options.since.empty()) return fail(EINVAL, "{}: an object cannot be changed in place; push all of it, without --since", options.target);
        return push_to_bucket(engine, source, options);
    }
    if (!options.since.empty()) {
        TRY(export_since(engine, operand, {options.since, options.target, options.progress, options.json}));
        TRY(read_back(engine, source, options.target));
        return exit_ok;
    }
    auto disk = TRY(open_written_disk(engine, options.target));
    auto written = write_all(engine, source, *disk, options.progress);
    if (!written)
        return fail(written.error().code, "{}: {}; it holds a part of the disk: run this again", options.target, written.error().message);
    disk.reset();
    TRY(read_back(engine, source, options.target));
    if (options.json)
        print_json({{"target", options.target}, {"size-bytes", source.size_bytes()}, {"sent-bytes", *written}, {"verified", true}});
    else
        fmt::print("{}: {}, of which {} were written, the rest zeroed; all was read back\n", options.target, human_bytes(source.size_bytes()),
                   human_bytes(*written));
    return exit_ok;
}

}  // namespace

void add_push(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("push", "Bring a disk, or a view of one, to another place, and check that it is there");
    auto options = std::make_shared<PushOptions>();
    command->add_option("SOURCE", options->source, "FILE, VOLUME[@GENERATION], a provider's URI, or a name of --spec's disks")->required();
    command->add_option("TARGET", options->target, "s3://BUCKET/KEY, an NBD URI, a block device, or a raw file that is there")->required();
    options->operands.add_to(*command, true);
    command->add_option("--since", options->since, "TARGET holds this generation; write only what changed since")->type_name("GENERATION");
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON about what was done");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return push(engine, *options); };
    });
}

}  // namespace hyper::ctl
