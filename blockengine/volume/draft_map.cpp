// SPDX-License-Identifier: Apache-2.0
#include "blockengine/volume/draft_map.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

// The state in each of a word's 32 places.
uint64_t word_of(SectorState state) { return static_cast<uint64_t>(state) * 0x5555555555555555u; }

class Chunk {
  public:
    static constexpr uint64_t sectors = MiB / draft_sector_bytes;

    explicit Chunk(SectorState state) { words_.fill(word_of(state)); }

    // Whether the whole of it is of one state now.
    bool set(uint64_t first, uint64_t count, SectorState state) {
        while (count > 0) {
            uint64_t place = first % 32, here = std::min(32 - place, count);
            uint64_t mask = (here == 32 ? ~uint64_t{0} : (uint64_t{1} << 2 * here) - 1) << 2 * place;
            uint64_t& word = words_[first / 32];
            word = (word & ~mask) | (word_of(state) & mask);
            first += here;
            count -= here;
        }
        return std::ranges::all_of(words_, [&](uint64_t word) { return word == word_of(state); });
    }

    // Calls add(count, state), neighbours unmerged, until it answers false; so do those below.
    template <class Add>
    bool walk(uint64_t first, uint64_t count, Add& add) const {
        while (count > 0) {
            uint64_t place = first % 32, word = words_[first / 32] >> 2 * place;
            auto state = static_cast<SectorState>(word & 3);
            uint64_t differs = word ^ (word_of(state) >> 2 * place);
            uint64_t same = differs == 0 ? 32 - place : static_cast<uint64_t>(std::countr_zero(differs)) / 2;
            same = std::min(same, count);
            if (!add(same, state)) return false;
            first += same;
            count -= same;
        }
        return true;
    }

  private:
    std::array<uint64_t, sectors / 32> words_;
};

// Of one state throughout, or taken apart.
template <class Child>
struct Slot {
    SectorState state = SectorState::absent;
    std::unique_ptr<Child> parts;

    // Whether it is of one state now.
    bool set(uint64_t first, uint64_t count, SectorState wanted) {
        if (count < Child::sectors) {
            if (!parts && state == wanted) return true;
            if (!parts) parts = std::make_unique<Child>(state);
            if (!parts->set(first, count, wanted)) return false;
        }
        parts.reset();
        state = wanted;
        return true;
    }
    template <class Add>
    bool walk(uint64_t first, uint64_t count, Add& add) const {
        return parts ? parts->walk(first, count, add) : add(count, state);
    }
};

// Calls visit(slot, first, count) for what a range is in each of its slots, until it answers false.
template <class Child, class Slots, class Visit>
bool each_slot(Slots& slots, uint64_t first, uint64_t count, Visit visit) {
    while (count > 0) {
        uint64_t within = first % Child::sectors, here = std::min(Child::sectors - within, count);
        if (!visit(slots[first / Child::sectors], within, here)) return false;
        first += here;
        count -= here;
    }
    return true;
}

template <class Child>
class Node {
  public:
    static constexpr uint64_t sectors = 128 * Child::sectors;

    explicit Node(SectorState state) {
        for (Slot<Child>& slot : slots_) slot.state = state;
    }
    bool set(uint64_t first, uint64_t count, SectorState state) {
        bool uniform = true;
        each_slot<Child>(slots_, first, count, [&](Slot<Child>& slot, uint64_t from, uint64_t here) {
            uniform &= slot.set(from, here, state);
            return true;
        });
        return uniform && std::ranges::all_of(slots_, [&](const Slot<Child>& slot) {
                   return !slot.parts && slot.state == state;
               });
    }
    template <class Add>
    bool walk(uint64_t first, uint64_t count, Add& add) const {
        return each_slot<Child>(slots_, first, count, [&](const Slot<Child>& slot, uint64_t from, uint64_t here) {
            return slot.walk(from, here, add);
        });
    }

  private:
    std::array<Slot<Child>, 128> slots_;
};

using Group = Node<Chunk>;
using Region = Node<Group>;

}  // namespace

struct DraftMap::Tree {
    explicit Tree(uint64_t sectors) : regions(divide_up(sectors, Region::sectors)) {}

    void set(uint64_t first, uint64_t count, SectorState state) {
        each_slot<Region>(regions, first, count, [&](Slot<Region>& slot, uint64_t from, uint64_t here) {
            slot.set(from, here, state);
            return true;
        });
    }
    template <class Add>
    bool walk(uint64_t first, uint64_t count, Add add) const {
        return each_slot<Region>(regions, first, count, [&](const Slot<Region>& slot, uint64_t from, uint64_t here) {
            return slot.walk(from, here, add);
        });
    }

    std::vector<Slot<Region>> regions;
};

DraftMap::DraftMap(uint64_t sectors) : sectors_(sectors), tree_(std::make_unique<Tree>(sectors)) {}
DraftMap::~DraftMap() = default;

void DraftMap::mark(uint64_t first, uint64_t count, SectorState state) {
    std::lock_guard lock(mutex_);
    if (tree_->walk(first, count, [&](uint64_t, SectorState present) { return present == state; })) return;
    tree_->set(first, count, state);
    add_pending(first, count);
}

SectorState DraftMap::at(uint64_t sector) const {
    SectorRun run;
    runs(sector, 1, {&run, 1});
    return run.state;
}

size_t DraftMap::runs(uint64_t first, uint64_t count, std::span<SectorRun> out) const {
    size_t used = 0;
    std::lock_guard lock(mutex_);
    tree_->walk(first, count, [&](uint64_t here, SectorState state) {
        if (used == 0 || out[used - 1].state != state) {
            if (used == out.size()) return false;
            out[used++] = {first, 0, state};
        }
        out[used - 1].count += here;
        first += here;
        return true;
    });
    return used;
}

void DraftMap::visit_changed(const std::function<bool(const SectorRun&)>& visit) const {
    std::array<SectorRun, 1024> found;
    SectorRun last;
    for (uint64_t at = 0; at < sectors_;) {
        size_t count = runs(at, sectors_ - at, found);
        for (const SectorRun& run : std::span(found).first(count)) {
            // The end of one list and the start of the next may be one run.
            if (last.count > 0 && last.state == run.state) {
                last.count += run.count;
            } else {
                if (last.count > 0 && last.state != SectorState::absent && !visit(last)) return;
                last = run;
            }
        }
        at = last.first + last.count;
    }
    if (last.count > 0 && last.state != SectorState::absent) visit(last);
}

namespace {

// Sorts ranges, and joins those that touch or overlap.
void tidy(std::vector<SectorRun>& ranges) {
    std::ranges::sort(ranges, {}, &SectorRun::first);
    size_t kept = 0;
    for (const SectorRun& range : ranges) {
        if (kept > 0 && range.first <= ranges[kept - 1].first + ranges[kept - 1].count) {
            SectorRun& last = ranges[kept - 1];
            last.count = std::max(last.first + last.count, range.first + range.count) - last.first;
        } else {
            ranges[kept++] = range;
        }
    }
    ranges.resize(kept);
}

}  // namespace

// With mutex_ held.
void DraftMap::add_pending(uint64_t first, uint64_t count) {
    if (all_pending_) return;
    if (!pending_.empty() && pending_.back().first + pending_.back().count == first) {
        pending_.back().count += count;
        return;
    }
    pending_.push_back({first, count, SectorState::absent});
    if (pending_.size() < pending_max) return;
    tidy(pending_);
    if (pending_.size() < pending_max / 2) return;
    all_pending_ = true;
    pending_ = {};
}

DraftMap::Changes DraftMap::take_changes() {
    std::vector<SectorRun> ranges;
    {
        std::lock_guard lock(mutex_);
        ranges.swap(pending_);
        if (std::exchange(all_pending_, false)) return {true, {}};
    }
    tidy(ranges);
    Changes changes;
    std::array<SectorRun, 64> found;
    for (SectorRun range : ranges) {
        while (range.count > 0) {
            size_t count = runs(range.first, range.count, found);
            changes.runs.insert(changes.runs.end(), found.begin(), found.begin() + static_cast<ptrdiff_t>(count));
            uint64_t covered = found[count - 1].first + found[count - 1].count - range.first;
            range.first += covered;
            range.count -= covered;
        }
        if (changes.runs.size() > changes_max) return {true, {}};
    }
    return changes;
}

void DraftMap::put_back(const Changes& changes) {
    std::lock_guard lock(mutex_);
    if (changes.all) {
        all_pending_ = true;
        pending_ = {};
    }
    for (const SectorRun& run : changes.runs) add_pending(run.first, run.count);
}

}  // namespace hyper
