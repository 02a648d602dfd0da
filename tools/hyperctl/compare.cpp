// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <atomic>

#include "tools/hyperctl/command.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/operand.h"
#include "tools/hyperctl/progress.h"

namespace hyper::ctl {

namespace {

struct CompareOptions {
    OperandOptions operands;
    std::string first, second, second_format;
    bool strict = false, progress = false, json = false;
};

constexpr uint64_t nowhere = UINT64_MAX;
constexpr unsigned compare_threads = 2;

// The offset of the first byte that differs; `nowhere` if none does. Holes on both sides are not read.
Result<uint64_t> first_difference(Engine& engine, const Source& a, const Source& b, bool progress_shown) {
    DataWalk walk({&a, &b});
    Progress progress(progress_shown, progress_shown ? TRY(walk.data_bytes()) : 0);
    // Chunks are handed out in rising order, so all before the lowest difference have been seen at the end.
    std::atomic<uint64_t> lowest{nowhere};
    auto passed = [&](const Chunk& chunk) { return chunk.offset >= lowest; };
    auto compare_chunk = [&](const Chunk& chunk) -> Result<void> {
        std::vector<std::byte> from_a(chunk.length), from_b(chunk.length);
        TRY(engine.read(a, chunk.offset, from_a));
        TRY(engine.read(b, chunk.offset, from_b));
        auto at = std::mismatch(from_a.begin(), from_a.end(), from_b.begin()).first;
        if (at != from_a.end()) {
            uint64_t offset = chunk.offset + static_cast<uint64_t>(at - from_a.begin());
            for (uint64_t seen = lowest; offset < seen && !lowest.compare_exchange_weak(seen, offset);) {}
        }
        for (const Run& run : chunk.runs) progress.add(run.length);
        return {};
    };
    TRY(walk_in_threads(walk, compare_threads, passed, compare_chunk));
    return lowest;
}

int report(const CompareOptions& options, uint64_t offset, uint64_t size_a, uint64_t size_b) {
    bool sizes_count = options.strict && size_a != size_b;
    bool same = offset == nowhere && !sizes_count;
    if (options.json) {
        Json json{{"identical", same}, {"first-size", size_a}, {"second-size", size_b}};
        if (offset != nowhere) json["offset"] = offset;
        print_json(json);
    } else if (offset != nowhere) {
        fmt::print("Content differs at offset {}.\n", offset);
    } else if (sizes_count) {
        fmt::print("Sizes differ: {} and {} bytes.\n", size_a, size_b);
    } else {
        fmt::print("Images are identical{}.\n", size_a != size_b ? " but for zeros at the end of the larger" : "");
    }
    return same ? exit_ok : exit_differs;
}

Result<int> compare(Engine& engine, const CompareOptions& options) {
    auto a = TRY(options.operands.open(engine, options.first));
    auto b = TRY(options.operands.open(engine, options.second, options.second_format));
    uint64_t size_a = a.source().size_bytes(), size_b = b.source().size_bytes();
    std::shared_ptr<const Source> source_a = a.view ? a.view : a.image, source_b = b.view ? b.view : b.image;
    if (size_a < size_b) source_a = std::make_shared<PaddedSource>(source_a, size_b);
    if (size_b < size_a) source_b = std::make_shared<PaddedSource>(source_b, size_a);
    uint64_t offset = nowhere;
    if (!options.strict || size_a == size_b)
        offset = TRY(first_difference(engine, *source_a, *source_b, options.progress));
    return report(options, offset, size_a, size_b);
}

}  // namespace

void add_compare(CLI::App& app, Command& chosen) {
    auto* command = app.add_subcommand("compare", "Compare the contents of two disks");
    auto options = std::make_shared<CompareOptions>();
    command->add_option("FIRST", options->first, "FILE, FILE@SNAPSHOT, VOLUME[@GENERATION], or a name of --spec's disks")->required();
    command->add_option("SECOND", options->second, "the same")->required();
    options->operands.add_to(*command, false);
    command->add_option("-F,--second-format", options->second_format, "format of the second file")->type_name("FORMAT");
    command->add_flag("--strict", options->strict, "different sizes differ, whatever is in them");
    command->add_flag("-p,--progress", options->progress, "show progress");
    command->add_flag("--json", options->json, "print JSON");
    command->callback([options, &chosen] {
        chosen.run = [options](Engine& engine) { return compare(engine, *options); };
        chosen.code_of_error = exit_compare_error;
    });
}

}  // namespace hyper::ctl
