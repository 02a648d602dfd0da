// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/data_walk.h"

#include <algorithm>
#include <atomic>
#include <optional>
#include <thread>

#include "blockengine/base/bytes.h"
#include "tools/hyperctl/command.h"

namespace hyper::ctl {

// The union of the sources' data in one range.
Result<std::vector<Run>> DataWalk::runs_of(uint64_t offset, uint64_t length) const {
    std::vector<Run> all;
    for (const Source* source : sources_)
        TRY(visit_extents(*source, offset, length, [&](const Extent& extent) {
            if (extent.zero) return true;
            uint64_t start = round_down(extent.offset, align_bytes_);
            uint64_t end = std::min(round_up(extent.offset + extent.length, align_bytes_), offset + length);
            // What alignment brings together is joined at once.
            if (!all.empty() && all.back().offset <= start && start <= all.back().offset + all.back().length)
                all.back().length = std::max(all.back().length, end - all.back().offset);
            else
                all.push_back({start, end - start});
            return true;
        }));
    if (sources_.size() == 1) return all;
    std::sort(all.begin(), all.end(), [](const Run& a, const Run& b) { return a.offset < b.offset; });
    std::vector<Run> joined;
    for (const Run& run : all) {
        if (joined.empty() || run.offset > joined.back().offset + joined.back().length)
            joined.push_back(run);
        else
            joined.back().length =
                std::max(joined.back().length, run.offset + run.length - joined.back().offset);
    }
    return joined;
}

Result<bool> DataWalk::next(Chunk& chunk) {
    std::lock_guard lock(mutex_);
    uint64_t size = sources_.front()->size_bytes();
    while (runs_.empty()) {
        if (window_offset_ >= size || interrupted()) return false;
        uint64_t length = std::min(window_bytes, size - window_offset_);
        auto runs = TRY(runs_of(window_offset_, length));
        runs_.assign(runs.begin(), runs.end());
        window_offset_ += length;
    }
    chunk = {runs_.front().offset, 0, {}, number_++};
    while (!runs_.empty() && chunk.length < chunk_bytes_max) {
        Run& run = runs_.front();
        uint64_t from = run.offset - chunk.offset;
        if (from >= chunk_bytes_max || from - chunk.length >= hole_bytes_min) break;
        // Later chunks begin at whole ones, so that reads stay aligned.
        uint64_t end = chunk.offset % chunk_bytes_max != 0 && chunk.runs.empty()
                           ? chunk_bytes_max - chunk.offset % chunk_bytes_max
                           : chunk_bytes_max;
        uint64_t take = std::min(run.length, std::max(end, from + 1) - from);
        chunk.runs.push_back({run.offset, take});
        chunk.length = from + take;
        run.offset += take;
        run.length -= take;
        if (run.length > 0) break;
        runs_.pop_front();
    }
    return true;
}

Result<uint64_t> DataWalk::data_bytes() const {
    uint64_t size = sources_.front()->size_bytes(), bytes = 0;
    for (uint64_t offset = 0; offset < size && !interrupted(); offset += window_bytes)
        for (const Run& run : TRY(runs_of(offset, std::min(window_bytes, size - offset)))) bytes += run.length;
    return bytes;
}

Result<void> walk_in_threads(DataWalk& walk, unsigned thread_count, const std::function<bool(const Chunk&)>& stop,
                             const std::function<Result<void>(const Chunk&)>& work) {
    std::mutex mutex;
    std::optional<Error> error;  // guarded by mutex
    std::atomic<bool> failed{false};
    auto run = [&] {
        Chunk chunk;
        while (!failed && !interrupted()) {
            auto step = [&]() -> Result<bool> {
                if (!TRY(walk.next(chunk)) || stop(chunk)) return false;
                TRY(work(chunk));
                return true;
            }();
            if (step && *step) continue;
            if (step) return;
            std::lock_guard lock(mutex);
            if (!error) error = step.error();
            failed = true;
        }
    };
    std::vector<std::thread> threads;
    for (unsigned i = 1; i < thread_count; ++i) threads.emplace_back(run);
    run();
    for (std::thread& thread : threads) thread.join();
    if (error) return tl::unexpected(std::move(*error));
    if (interrupted()) return fail(EINTR, "interrupted");
    return {};
}

unsigned reader_threads() { return std::clamp(std::thread::hardware_concurrency(), 2u, 8u); }

}  // namespace hyper::ctl
