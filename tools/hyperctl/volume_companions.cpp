// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/volume/companions.h"
#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/output_file.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct CompanionsOptions {
    VolumeRoot root;
    std::string name, output;
    bool force = false, json = false;
};

// All of them are read, and their hashes checked, before the first is written.
Result<void> write_all(const Volume& volume, const Generation& generation, const CompanionsOptions& options) {
    auto contents = TRY(read_companions(volume, generation));
    ::umask(077);  // the state of a TPM has keys
    std::error_code error;
    std::filesystem::create_directories(options.output, error);
    if (error) return fail(error.value(), "{}: make the folder: {}", options.output, errno_text(error.value()));
    for (const auto& [name, bytes] : contents) {
        auto file = TRY(OutputFile::create(options.output + "/" + name, bytes.size(), options.force));
        TRY(file.write(0, bytes_of_text(bytes)));
        TRY(file.sync());
        TRY(file.publish());
    }
    return {};
}

Result<int> companions(Engine& engine, const CompanionsOptions& options) {
    auto operand = TRY(options.root.operand(options.name));
    auto volume = TRY(operand.open(engine));
    auto generation = TRY(volume->find(operand.generation));
    if (!options.output.empty()) TRY(write_all(*volume, generation, options));
    Table table({"NAME", ">SIZE", "SHA-256"});
    Json json = Json::array();
    for (const Companion& one : generation.companions) {
        table.add({one.name, human_bytes(one.size_bytes), hex(one.hash)});
        json.push_back(json_of(one));
    }
    options.json ? print_json(json) : table.print();
    return exit_ok;
}

}  // namespace

void add_volume_companions(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("companions", "List, or write to files, what a generation has besides its disk");
    auto options = std::make_shared<CompanionsOptions>();
    command->add_option("VOLUME", options->name, "VOLUME[@GENERATION]; the latest where none is named")->required();
    command->add_option("--output", options->output, "write them to files in this folder, each under its name")->type_name("DIR");
    command->add_flag("--force", options->force, "overwrite files");
    options->root.add_to(*command);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return companions(engine, *options); };
    });
}

}  // namespace hyper::ctl
