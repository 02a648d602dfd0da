// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/export_since.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "blockengine/volume/volume.h"
#include "tools/hyperctl/data_walk.h"
#include "tools/hyperctl/generation_text.h"
#include "tools/hyperctl/nbd_writer.h"
#include "tools/hyperctl/progress.h"
#include "tools/hyperctl/table.h"
#include "tools/hyperctl/written_disk.h"

namespace hyper::ctl {

namespace {

constexpr uint64_t write_bytes_max = 2 << 20;  // what a thread holds in memory

struct Delta {
    std::vector<Extent> extents;  // ascending; data in pieces of write_bytes_max
    uint64_t data_bytes = 0, zero_bytes = 0;
};

// What changed, and what is there now.
Result<Delta> delta_of(const Source& source, const std::vector<ChangedRun>& runs) {
    Delta delta;
    for (const ChangedRun& run : runs)
        TRY(visit_extents(source, run.offset, run.length, [&](const Extent& extent) {
            (extent.zero ? delta.zero_bytes : delta.data_bytes) += extent.length;
            uint64_t step = extent.zero ? extent.length : write_bytes_max;
            for (uint64_t at = 0; at < extent.length; at += step)
                delta.extents.push_back({extent.offset + at, std::min(step, extent.length - at), extent.zero});
            return true;
        }));
    return delta;
}

Result<void> apply(Engine& engine, const Source& source, const Delta& delta, WrittenDisk& disk, bool progress_shown) {
    Progress progress(progress_shown, delta.data_bytes + delta.zero_bytes);
    std::atomic<size_t> next{0};
    std::atomic<bool> failed{false};
    std::mutex mutex;
    std::optional<Error> error;  // guarded by mutex
    auto apply_one = [&](const Extent& extent, std::vector<std::byte>& buffer) -> Result<void> {
        if (interrupted()) return fail(EINTR, "interrupted");
        if (extent.zero) return disk.zero(extent.offset, extent.length);
        auto bytes = std::span(buffer).first(extent.length);
        TRY(engine.read(source, extent.offset, bytes));
        return disk.write(extent.offset, bytes);
    };
    auto run = [&] {
        std::vector<std::byte> buffer(write_bytes_max);
        for (size_t i; !failed && (i = next++) < delta.extents.size();) {
            auto applied = apply_one(delta.extents[i], buffer);
            progress.add(delta.extents[i].length);
            if (applied) continue;
            std::lock_guard lock(mutex);
            if (!error) error = applied.error();
            failed = true;
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < reader_threads(); ++i) threads.emplace_back(run);
    run();
    for (std::thread& thread : threads) thread.join();
    if (error) return tl::unexpected(std::move(*error));
    return disk.flush();
}

// Of the generation that the disk holds.
Result<Generation> older_generation(Engine& engine, const Image& image, const std::string& since) {
    if (image.info().format != Format::volume)
        return fail(EINVAL, "{}: --since goes with a generation of a volume, not with an image", image.path());
    auto volume = TRY(Volume::open(engine, image.path()));
    return volume->find(since);
}

}  // namespace

Result<int> export_since(Engine& engine, const Operand& operand, const ExportSince& options) {
    if (!operand.image) return fail(EINVAL, "{}: is a view; name the volume", operand.name);
    const Image& image = *operand.image;
    const std::string& to = options.destination;
    auto format = is_nbd_uri(to) ? std::nullopt : format_of_file_name(to);
    if (format.value_or(Format::raw) != Format::raw)
        return fail(EINVAL, "{}: is not raw by its suffix; what changed is written onto a raw disk", to);
    Generation older = TRY(older_generation(engine, image, options.since));
    if (older.size_bytes != image.size_bytes())
        return fail(EINVAL, "{}: the disk had {} bytes in generation {}, and has {}: export it as a whole", operand.name,
                    older.size_bytes, older.number, image.size_bytes());
    auto runs = image.changes() ? TRY(image.changes()->changed_since(fmt::to_string(older.number))) : std::nullopt;
    if (!runs) return fail(EINVAL, "{}: is not newer than generation {}", operand.name, older.number);
    auto disk = TRY(open_written_disk(engine, to));
    if (disk->size_bytes() != image.size_bytes())
        return fail(EINVAL, "{}: has {} bytes, and {} has {}: it does not hold generation {}", to, disk->size_bytes(), operand.name,
                    image.size_bytes(), older.number);
    Delta delta = TRY(delta_of(image, *runs));
    auto applied = apply(engine, image, delta, *disk, options.progress);
    if (!applied)
        return fail(applied.error().code, "{}; {} holds a part of what changed: run this again", applied.error().message, to);
    if (options.json)
        print_json({{"filename", to}, {"since", older.number}, {"changed-runs", runs->size()}, {"bytes-written", delta.data_bytes},
                    {"bytes-zeroed", delta.zero_bytes}});
    else
        fmt::print("{}: {} written and {} zeroed, in {} run{} that changed since generation {}\n", to, human_bytes(delta.data_bytes),
                   human_bytes(delta.zero_bytes), runs->size(), runs->size() == 1 ? "" : "s", number_and_time(older));
    return exit_ok;
}

}  // namespace hyper::ctl
