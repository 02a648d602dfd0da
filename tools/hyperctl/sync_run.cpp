// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/sync_run.h"

#include <fmt/format.h>

#include <cerrno>
#include <filesystem>
#include <optional>

#include "blockengine/base/hex.h"
#include "blockengine/base/log.h"
#include "convert/remote/remote.h"
#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/progress.h"
#include "tools/hyperctl/table.h"

namespace hyper::ctl {

namespace {

uint64_t read_bytes_per_second(const SyncReport& report) {
    return report.seconds > 0 ? static_cast<uint64_t>(static_cast<double>(report.counts.read_bytes) / report.seconds) : 0;
}

Json json_of_report(const SyncReport& report) {
    Json json = json_of(report.generation);
    json["compared-all"] = report.compared_all;
    if (report.compared_all) json["why-all"] = report.why_all;
    json["resumed"] = report.resumed;
    json["reported-bytes"] = report.reported_bytes;
    json["looked-at-bytes"] = report.looked_at_bytes;
    json["read-bytes"] = report.counts.read_bytes;
    json["different-bytes"] = report.counts.different_bytes;
    json["zero-bytes"] = report.counts.zero_bytes;
    json["newly-stored-bytes"] = report.counts.stored_bytes;
    json["sampled-blocks"] = report.sampled_blocks;
    json["seconds"] = report.seconds;
    json["read-bytes-per-second"] = read_bytes_per_second(report);
    return json;
}

void print_fact(std::string_view name, std::string_view value) { fmt::print("{:<20}{}\n", fmt::format("{}:", name), printable(value)); }

std::string bytes_text(uint64_t bytes) { return fmt::format("{} ({} bytes)", human_bytes(bytes), bytes); }

void print_text_of(const SyncReport& report) {
    print_fact("generation", number_and_time(report.generation));
    print_fact("root", hex(report.generation.root));
    print_fact("compared", report.compared_all ? "everything, since " + report.why_all : "what the source says has changed");
    if (report.resumed) print_fact("resumed", "yes, what an interrupted sync of the same state had done");
    if (!report.compared_all) {
        print_fact("reported changed", bytes_text(report.reported_bytes));
        print_fact("sampled", fmt::format("{} blocks that were said to be unchanged, and are", report.sampled_blocks));
    }
    print_fact("looked at", bytes_text(report.looked_at_bytes));
    print_fact("read", bytes_text(report.counts.read_bytes));
    print_fact("really different", bytes_text(report.counts.different_bytes));
    print_fact("zeros of these", bytes_text(report.counts.zero_bytes));
    print_fact("stored", bytes_text(report.counts.stored_bytes));
    print_fact("took", fmt::format("{:.1f} s, {:.1f} MB/s", report.seconds, static_cast<double>(read_bytes_per_second(report)) / 1e6));
}

}  // namespace

Result<int> run_sync(VolumeWriter& writer, const SyncSource& source, SyncOptions options, const SyncShown& shown) {
    std::optional<Progress> progress;
    auto how_shown = !shown.progress ? Progress::Shown::no : shown.json ? Progress::Shown::json : Progress::Shown::text;
    options.planned = [&](uint64_t bytes) { progress.emplace(how_shown, bytes); };
    options.done = [&](uint64_t bytes) { progress->add(bytes); };
    options.stop = interrupted;
    auto report = sync_volume(writer, source, options);
    progress.reset();
    if (!report && interrupted()) {
        fmt::print(stderr, "hyperctl: interrupted; what was stored is kept, and the next sync into {} goes on there\n",
                   printable(shown.volume));
        return exit_interrupted;
    }
    if (!report) return tl::unexpected(report.error());
    if (shown.json && shown.collected != nullptr)
        *shown.collected = json_of_report(*report);
    else if (shown.json)
        print_json(json_of_report(*report));
    else
        print_text_of(*report);
    return exit_ok;
}

Result<std::vector<CompanionContent>> companions_to_keep(const Image& image) {
    std::vector<CompanionContent> kept;
    for (CompanionContent& one : TRY(image.companions())) {
        bool fits = is_companion_name(one.name) && one.bytes.size() <= companion_bytes_max && kept.size() < companions_max;
        if (fits)
            kept.push_back(std::move(one));
        else
            log_warning("{}: \"{}\", which belongs to the disk, is not kept: {} bytes ({} files of {} bytes can be)", image.path(), one.name,
                        one.bytes.size(), companions_max, companion_bytes_max);
    }
    return kept;
}

Result<SyncSource> sync_source_of(const Operand& operand) {
    if (!operand.image) return fail(EINVAL, "{}: is a view; name the disk", operand.name);
    if (is_remote(operand.name)) return SyncSource{operand.image, operand.image->path(), operand.image->changes(), TRY(companions_to_keep(*operand.image))};
    std::error_code ignored;
    std::string path = std::filesystem::weakly_canonical(operand.image->path(), ignored).string();
    if (path.empty()) path = operand.image->path();
    size_t at = operand.name.rfind('@');
    // A snapshot is another disk than the present state: it is named as the user named it.
    bool snapshot = at != std::string::npos && !operand.image->path().ends_with(operand.name.substr(at));
    return SyncSource{operand.image, "file:" + path + (snapshot ? operand.name.substr(at) : ""), operand.image->changes(),
                      TRY(companions_to_keep(*operand.image))};
}

}  // namespace hyper::ctl
