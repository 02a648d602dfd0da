// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/volume/retention.h"
#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct PruneOptions {
    VolumeRoot root;
    std::vector<std::string> names;  // VOLUME with `keep`, else VOLUME@G...
    std::string keep;
    bool dry_run = false, json = false;
};

struct Judged {
    Generation generation;
    bool goes = false;
    std::string why;
};

Result<std::vector<Judged>> judge_by_rules(const std::vector<Generation>& all, const std::string& keep) {
    auto rules = TRY(parse_retention(keep));
    std::vector<RetentionInput> input;
    for (const Generation& one : all) input.push_back({one.number, one.time, one.pinned});
    std::vector<Judged> judged;
    for (const RetentionVerdict& verdict : judge_retention(rules, input)) {
        Judged one{all[judged.size()], !verdict.keep, ""};
        for (std::string_view reason : verdict.reasons) one.why += (one.why.empty() ? "" : ", ") + std::string(reason);
        judged.push_back(std::move(one));
    }
    // The newest by its number stays, even if a clock that was set back gave it an old time.
    if (!judged.empty() && judged.back().goes) judged.back() = {all.back(), false, "newest"};
    return judged;
}

Result<std::vector<Judged>> judge_by_name(const std::vector<Generation>& all, const std::vector<std::string>& which) {
    std::vector<Judged> judged;
    for (const Generation& one : all) judged.push_back({one, false, "not named"});
    for (const std::string& name : which) {
        auto found = TRY(find_generation(all, name));
        if (found.number == all.back().number) return fail(EINVAL, "generation {} is the newest, which stays", found.number);
        if (found.pinned)
            return fail(EINVAL, "generation {} is pinned (hyperctl volume unpin lets go of it)", found.number);
        auto& one = *std::ranges::find(judged, found.number, [](const Judged& j) { return j.generation.number; });
        one = {std::move(found), true, "named"};
    }
    return judged;
}

// The volume that all names are of, and what stands behind them.
Result<VolumeOperand> volume_of(const PruneOptions& options, std::vector<std::string>& which) {
    VolumeOperand volume;
    for (const std::string& name : options.names) {
        auto operand = TRY(options.root.operand(name));
        if (volume.folder.empty()) volume = operand;
        if (operand.folder != volume.folder) return fail(EINVAL, "{} and {}: two volumes; prune one at a time", volume.name, operand.name);
        if (!operand.generation.empty()) which.push_back(operand.generation);
    }
    if (options.keep.empty() && which.size() < options.names.size())
        return fail(EINVAL, "{}: say what stays (--keep last=7,daily=14) or which generations go ({}@41)", volume.name, volume.name);
    if (!options.keep.empty() && !which.empty())
        return fail(EINVAL, "{}@{}: either --keep, or generations that go", volume.name, which.front());
    return volume;
}

void print(const PruneOptions& options, const std::vector<Judged>& judged, uint64_t freed_bytes) {
    Table table({">GENERATION", "TIME", ">CHANGED", ">STORED", options.dry_run ? "WOULD" : "", "WHY"});
    Json json{{"dry-run", options.dry_run}, {"generations", Json::array()}};
    size_t gone = 0;
    for (const Judged& one : judged) {
        table.add({fmt::to_string(one.generation.number), utc_text(one.generation.time), human_bytes(one.generation.changed_bytes),
                   human_bytes(one.generation.stored_bytes), options.dry_run ? (one.goes ? "go" : "stay") : (one.goes ? "gone" : "stays"),
                   one.why});
        json["generations"].push_back({{"generation", one.generation.number},
                                       {"time", utc_text(one.generation.time)},
                                       {"stays", !one.goes},
                                       {"why", one.why}});
        gone += one.goes;
    }
    if (!options.dry_run) json["freed-bytes"] = freed_bytes;
    if (options.json) return print_json(json);
    table.print();
    if (!options.dry_run) fmt::print("{} of {} generations pruned, {} freed\n", gone, judged.size(), human_bytes(freed_bytes));
}

Result<int> prune(Engine& engine, const PruneOptions& options) {
    std::vector<std::string> which;
    auto operand = TRY(volume_of(options, which));
    std::unique_ptr<VolumeWriter> writer;
    std::shared_ptr<const Volume> volume;
    if (options.dry_run)
        volume = TRY(operand.open(engine));
    else
        volume = (writer = TRY(operand.open_to_write(engine)))->volume();
    auto all = TRY(volume->generations());
    auto judged = which.empty() ? judge_by_rules(all, options.keep) : judge_by_name(all, which);
    if (!judged) return fail(judged.error().code, "{}: {}", operand.name, judged.error().message);
    uint64_t freed_bytes = 0;
    for (const Judged& one : *judged) {
        if (!writer || !one.goes) continue;
        if (interrupted()) return fail(EINTR, "interrupted");
        freed_bytes += TRY(writer->prune(one.generation.number)).freed_bytes;
    }
    print(options, *judged, freed_bytes);
    return exit_ok;
}

}  // namespace

void add_volume_prune(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("prune", "Take generations away, by rules or by name, and give back their space");
    auto options = std::make_shared<PruneOptions>();
    command->add_option("VOLUME", options->names, "VOLUME with --keep, else VOLUME@GENERATION...")->required();
    options->root.add_to(*command);
    command->add_option("--keep", options->keep, "what stays: last=7,hourly=24,daily=14,weekly=8,monthly=12,yearly=5")->type_name("RULES");
    command->add_flag("--dry-run", options->dry_run, "only tell");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return prune(engine, *options); };
    });
}

}  // namespace hyper::ctl
