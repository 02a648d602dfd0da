// SPDX-License-Identifier: Apache-2.0
#include <fmt/compile.h>
#include <fmt/format.h>

#include <cerrno>
#include <cstdio>
#include <iterator>

#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/volume_changes.h"
#include "tools/hyperctl/volume_command.h"
#include "tools/hyperctl/volume_operand.h"

namespace hyper::ctl {

namespace {

struct DiffOptions {
    VolumeRoot root;
    std::vector<std::string> names;  // VOLUME@A VOLUME@B, or VOLUME A B
    bool json = false;
};

// There can be millions of lines: they are put together in memory, some at a time. Bound to one thread.
class Lines {
  public:
    ~Lines() { write(); }
    template <class Format, class... Args>
    void add(const Format& format, const Args&... args) {
        fmt::format_to(std::back_inserter(text_), format, args...);
        if (text_.size() > bytes_at_once) write();
    }

  private:
    static constexpr size_t bytes_at_once = 64 << 10;

    void write() {
        std::fwrite(text_.data(), 1, text_.size(), stdout);
        text_.clear();
    }
    fmt::memory_buffer text_;
};

void print_json_of(const VolumeChanges& changes) {
    Lines lines;
    lines.add(FMT_COMPILE("{{\n\"from\": {},\n\"to\": {},\n\"bytes\": {},\n\"runs\": ["), json_of(changes.older).dump(),
               json_of(changes.newer).dump(), changes.bytes);
    std::string_view between = "\n";
    for (const ChangedRun& run : changes.runs) {
        lines.add(FMT_COMPILE("{}{{ \"start\": {}, \"length\": {}}}"), between, run.offset, run.length);
        between = ",\n";
    }
    lines.add(FMT_COMPILE("]\n}}\n"));
}

void print_text_of(const VolumeChanges& changes) {
    Lines lines;
    lines.add(FMT_COMPILE("{:>16}  {:>16}\n"), "OFFSET", "LENGTH");
    for (const ChangedRun& run : changes.runs) lines.add(FMT_COMPILE("{:>16}  {:>16}\n"), run.offset, run.length);
    lines.add(FMT_COMPILE("{} in {} run{} changed of {}, from generation {} to {}\n"), human_bytes(changes.bytes), changes.runs.size(),
               changes.runs.size() == 1 ? "" : "s", human_bytes(changes.newer.size_bytes), number_and_time(changes.older),
               number_and_time(changes.newer));
    if (changes.older.size_bytes != changes.newer.size_bytes)
        lines.add(FMT_COMPILE("the disk had {} bytes, then {}\n"), changes.older.size_bytes, changes.newer.size_bytes);
}

Result<int> diff(Engine& engine, const DiffOptions& options) {
    auto first = TRY(options.root.operand(options.names[0]));
    std::string one = first.generation, other = options.names.back();
    if (options.names.size() == 3) {
        TRY(first.refuse_generation());
        one = options.names[1];
    } else {
        auto second = TRY(options.root.operand(other));
        if (second.folder != first.folder)
            return fail(EINVAL, "{} and {}: two volumes; hyperctl compare compares any two disks", first.name, second.name);
        other = second.generation;
    }
    if (options.names.size() == 2 && one.empty() && other.empty())
        return fail(EINVAL, "{}: say which generations, as {}@1 {}@latest", first.name, first.name, first.name);
    auto volume = TRY(first.open(engine));
    auto changes = TRY(changes_between(volume, one, other));
    options.json ? print_json_of(changes) : print_text_of(changes);
    return exit_ok;
}

}  // namespace

void add_volume_diff(CLI::App& volume, Command& chosen) {
    auto* command = volume.add_subcommand("diff", "Show which parts of the disk changed between two generations");
    auto options = std::make_shared<DiffOptions>();
    command->add_option("VOLUME@GENERATION", options->names, "VOLUME@A VOLUME@B, or VOLUME A B")->required()->expected(2, 3);
    options->root.add_to(*command);
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return diff(engine, *options); };
    });
}

}  // namespace hyper::ctl
