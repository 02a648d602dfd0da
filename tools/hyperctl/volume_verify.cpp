// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <optional>

#include "blockengine/base/hex.h"
#include "blockengine/volume/verify.h"
#include "tools/hyperctl/bad_range_text.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/progress.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct VerifyCommand {
    VolumeRoot root;
    std::string name;
    bool all = false, progress = false, json = false;
    double sample_percent = 100;
};

Result<std::vector<Generation>> chosen_generations(const Volume& volume, const VerifyCommand& options, const VolumeOperand& operand) {
    if (!options.all) return std::vector{TRY(volume.find(operand.generation))};
    TRY(operand.refuse_generation());
    auto all = TRY(volume.generations());
    if (all.empty()) return fail(ENOENT, "{}: there is no generation yet (make one with hyperctl sync)", operand.name);
    return all;
}

Result<VerifyReport> verify_one(const Volume& volume, const Generation& generation, const VerifyCommand& options) {
    std::optional<Progress> progress;
    VerifyOptions how;
    how.fraction = options.sample_percent / 100;
    how.threads = reader_threads();
    how.planned = [&](uint64_t bytes) { progress.emplace(options.progress, bytes); };
    how.done = [&](uint64_t bytes) { progress->add(bytes); };
    how.stop = interrupted;
    return verify_generation(volume, generation, how);
}

std::string root_text(const VerifyReport& report) {
    if (!report.root) return "not checked";
    return *report.root == report.generation.root ? "good" : "differs";
}

Json json_of_report(const VerifyReport& report) {
    Json bad = Json::array();
    for (const BadRange& range : report.bad) bad.push_back(json_of(range));
    Json json{{"generation", report.generation.number},
              {"verdict", verdict_name(report.verdict())},
              {"blocks", report.blocks},
              {"bytes", report.bytes},
              {"bad-blocks", report.bad_blocks},
              {"bad", std::move(bad)},
              {"committed-root", hex(report.generation.root)}};
    for (const auto& [name, why] : report.bad_companions) json["bad-companions"].push_back({{"name", name}, {"why", why}});
    if (report.root) json["root"] = hex(*report.root);
    return json;
}

void print_bad(const VerifyReport& report) {
    for (const BadRange& range : report.bad) fmt::print("generation {}: {}\n", report.generation.number, text_of(range));
    if (report.bad.size() == VerifyReport::bad_max) fmt::print("... {} bad blocks in all\n", report.bad_blocks);
    for (const auto& [name, why] : report.bad_companions)
        fmt::print("generation {}: companion {}: {}\n", report.generation.number, name, printable(why));
    if (report.root && *report.root != report.generation.root)
        fmt::print("generation {}: corrupt: every block is what was stored, but the root is {}, and was {} when it was committed\n",
                   report.generation.number, hex(*report.root), hex(report.generation.root));
}

Result<int> verify(Engine& engine, const VerifyCommand& options) {
    auto operand = TRY(options.root.operand(options.name));
    auto volume = TRY(operand.open(engine));
    Table table({">GENERATION", "TIME", ">BLOCKS", ">READ", "ROOT", "VERDICT"});
    Json json = Json::array();
    std::vector<VerifyReport> reports;
    Verdict worst = Verdict::good;
    for (const Generation& generation : TRY(chosen_generations(*volume, options, operand))) {
        auto report = verify_one(*volume, generation, options);
        // Pruned since: no more of --all.
        if (!report && report.error().code == ESTALE && options.all) continue;
        if (!report) return tl::unexpected(report.error());
        Verdict verdict = report->verdict();
        if (verdict == Verdict::corrupt || worst == Verdict::good) worst = verdict;
        table.add({fmt::to_string(generation.number), utc_text(generation.time), fmt::to_string(report->blocks),
                   human_bytes(report->bytes), root_text(*report), std::string(verdict_name(verdict))});
        json.push_back(json_of_report(*report));
        reports.push_back(std::move(*report));
    }
    options.json ? print_json(json) : table.print();
    if (!options.json)
        for (const VerifyReport& report : reports) print_bad(report);
    return exit_code_of(worst);
}

}  // namespace

void add_volume_verify(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("verify", "Read a generation and check every hash of it, and the root");
    auto options = std::make_shared<VerifyCommand>();
    command->add_option("VOLUME", options->name, "VOLUME[@GENERATION]; the latest where none is named")->required();
    options->root.add_to(*command);
    command->add_flag("--all", options->all, "all generations");
    command->add_option("--sample", options->sample_percent, "only so many of a hundred blocks, drawn at random, and no root")
        ->type_name("PERCENT")
        ->check(CLI::Range(0.0, 100.0));
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return verify(engine, *options); };
        chosen.code_of_error = exit_could_not_tell;
    });
}

}  // namespace hyper::ctl
