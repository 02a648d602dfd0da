// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/repair.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "tools/hyperctl/bad_range_text.h"
#include "tools/hyperctl/progress.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct RepairCommand {
    VolumeRoot root;
    std::string name;
    bool rebuild_index = false, progress = false, json = false;
};

Json json_of_report(const RepairReport& report) {
    Json lost = Json::array();
    for (const auto& [generation, range] : report.lost) {
        Json one{{"generation", generation}};
        one.update(json_of(range));
        lost.push_back(std::move(one));
    }
    Json json{{"generations", report.generations}, {"blocks", report.blocks},           {"index-rebuilt", report.index_rebuilt},
              {"damage", report.damage},           {"lost", std::move(lost)},           {"wrong-roots", report.wrong_roots},
              {"all-good", report.all_good()}};
    if (!report.companions.empty()) json["lost-companions"] = report.companions;
    if (report.index_rebuilt) json["why-rebuilt"] = report.why_rebuilt;
    return json;
}

void print_text_of(const RepairReport& report) {
    if (report.index_rebuilt)
        fmt::print("the index was built anew from the data files ({}); the old one, if there was one, is index.old\n",
                   printable(report.why_rebuilt));
    for (const std::string& damage : report.damage) fmt::print("damage: {}\n", printable(damage));
    for (const auto& [generation, range] : report.lost) fmt::print("generation {}: {}\n", generation, text_of(range));
    for (const std::string& lost : report.companions) fmt::print("{}\n", printable(lost));
    for (uint32_t generation : report.wrong_roots)
        fmt::print("generation {}: reads well, but is not what was committed\n", generation);
    fmt::print("{} generation{}, {} stored blocks read: {}\n", report.generations, report.generations == 1 ? "" : "s", report.blocks,
               report.all_good() ? "all good" : report.lost.empty() && report.companions.empty() ? "nothing is lost that is known of" : "what is lost is named above");
}

// As verify has them.
ExitCode exit_code_of(const RepairReport& report) {
    auto could_not_tell = [](const auto& lost) { return lost.range.verdict == Verdict::could_not_tell; };
    if (report.all_good()) return exit_ok;
    bool only_unknown = report.damage.empty() && report.wrong_roots.empty() && report.companions.empty() && std::ranges::all_of(report.lost, could_not_tell);
    return only_unknown ? exit_could_not_tell : exit_corrupt;
}

Result<int> repair(Engine& engine, const RepairCommand& options) {
    auto operand = TRY(options.root.operand(options.name));
    TRY(operand.refuse_generation());
    TRY(operand.must_be_there());
    std::optional<Progress> progress;
    RepairOptions how;
    how.rebuild_index = options.rebuild_index;
    how.planned = [&](uint64_t bytes) { progress.emplace(options.progress, bytes); };
    how.done = [&](uint64_t bytes) { progress->add(bytes); };
    how.stop = interrupted;
    auto report = TRY(repair_volume(engine, operand.folder, how));
    progress.reset();
    if (options.json)
        print_json(json_of_report(report));
    else
        print_text_of(report);
    return exit_code_of(report);
}

}  // namespace

void add_volume_repair(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("repair", "Read all that a volume has, rebuild its index if that is damaged, and say what is lost");
    auto options = std::make_shared<RepairCommand>();
    command->add_option("VOLUME", options->name, VolumeRoot::help)->required();
    options->root.add_to(*command);
    command->add_flag("--rebuild-index", options->rebuild_index, "even if the index can be opened");
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return repair(engine, *options); };
    });
}

}  // namespace hyper::ctl
