// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/hydrate.h"

#include <algorithm>
#include <cerrno>
#include <vector>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

// One read, and what a writer of the same sectors may have to wait for.
constexpr uint64_t read_bytes = MiB;
// How far ahead holes are looked for, and what a crash may have to be fetched again, about.
constexpr uint64_t stretch_bytes = 256 * MiB;

class Hydration {
  public:
    Hydration(Engine& engine, Draft& draft, const Source& base, const HydrateOptions& options)
        : engine_(engine), draft_(draft), base_(base), options_(options), buffer_(read_bytes) {}

    // Whatever of [offset, end) is absent; both are of whole sectors, but for the disk's end.
    Result<void> fill(uint64_t offset, uint64_t end) {
        while (offset < end) {
            if (stopped()) return interrupted();
            SectorRun absent = draft_.next_absent(offset / draft_sector_bytes);
            if (absent.count == 0) return {};
            offset = std::max(offset, absent.first * draft_sector_bytes);
            uint64_t stop = std::min({end, (absent.first + absent.count) * draft_sector_bytes, offset + stretch_bytes});
            if (offset >= stop) return {};
            TRY(fill_stretch(offset, stop));
            TRY(draft_.flush());
            offset = stop;
        }
        return {};
    }

  private:
    bool stopped() const { return options_.stop && options_.stop(); }
    static tl::unexpected<Error> interrupted() { return hyper::fail(ECANCELED, "interrupted"); }

    Result<void> fill_stretch(uint64_t offset, uint64_t end) {
        std::vector<Extent> extents;
        TRY(visit_extents(base_, offset, end - offset, [&](const Extent& extent) {
            extents.push_back(extent);
            return true;
        }));
        for (const Extent& extent : extents) {
            uint64_t stop = extent.offset + extent.length;
            // Zeros of whole sectors; the rest is read with its neighbours.
            uint64_t zeros = stop == end ? stop : round_down(stop, draft_sector_bytes);
            if (extent.zero && offset <= extent.offset && zeros > round_up(extent.offset, draft_sector_bytes)) {
                TRY(copy(offset, round_up(extent.offset, draft_sector_bytes)));
                offset = std::max(offset, round_up(extent.offset, draft_sector_bytes));
                TRY(draft_.fill_zeros(offset, zeros - offset));
                if (options_.done) options_.done(zeros - offset);
                offset = zeros;
            }
        }
        return copy(offset, end);
    }

    Result<void> copy(uint64_t offset, uint64_t end) {
        while (offset < end) {
            if (stopped()) return interrupted();
            auto bytes = std::span(buffer_).first(std::min(read_bytes, end - offset));
            TRY(engine_.read(base_, offset, bytes));
            TRY(draft_.fill(offset, bytes));
            if (options_.done) options_.done(bytes.size());
            offset += bytes.size();
        }
        return {};
    }

    Engine& engine_;
    Draft& draft_;
    const Source& base_;
    const HydrateOptions& options_;
    Bytes buffer_;
};

}  // namespace

Result<void> hydrate(Engine& engine, Draft& draft, const Source& base, std::span<const ChangedRun> first, const HydrateOptions& options) {
    Hydration hydration(engine, draft, base, options);
    uint64_t size_bytes = draft.size_bytes();
    for (const ChangedRun& run : first) {
        if (run.offset >= size_bytes) continue;
        uint64_t end = run.offset + std::min(run.length, size_bytes - run.offset);
        TRY(hydration.fill(round_down(run.offset, draft_sector_bytes), std::min(round_up(end, draft_sector_bytes), size_bytes)));
    }
    TRY(hydration.fill(0, size_bytes));
    return draft.flush();
}

}  // namespace hyper
