// SPDX-License-Identifier: Apache-2.0
// The key by which jobs are sorted: late ones first, then the higher priority, then the lesser slack. A job takes the least key of all that wait
// for it, and among equal keys the one that waits for fewer stands first: so sorting by it keeps every dependency.
#include "scheduler/planner/fleet/order.h"

#include <algorithm>
#include <cerrno>

namespace hyper::scheduler {
namespace {

// The last start within a window that keeps `until`; without one, the last that keeps it.
int64_t last_start_in_windows(const Frame& frame, const FleetJob& job, int64_t earliest, int64_t until) {
    int64_t length = job.task.length.count();
    auto windows = frame.windows(job);
    for (auto window = windows.rbegin(); window != windows.rend(); window++)
        if (int64_t start = std::min(window->until, until) - length; start >= std::max(window->from, earliest)) return start;
    return until - length;
}

int64_t slack(const Frame& frame, const FleetJob& job, int64_t earliest, int64_t until) {
    int64_t sum = 0;
    for (const Span& window : frame.windows(job))
        sum += std::max<int64_t>(0, std::min(window.until, until) - std::max(window.from, earliest) - job.task.length.count());
    return sum;
}

// The jobs of one circle among those that some job is left to wait for.
std::string circle(const Fleet& fleet, const JobLists& before, const std::vector<uint32_t>& waits_for) {
    auto at = uint32_t(std::find_if(waits_for.begin(), waits_for.end(), [](uint32_t left) { return left > 0; }) - waits_for.begin());
    std::vector<uint32_t> path;
    while (std::find(path.begin(), path.end(), at) == path.end()) {
        path.push_back(at);
        for (uint32_t other : before.of(at))
            if (waits_for[other] > 0) at = other;
    }
    path.erase(path.begin(), std::find(path.begin(), path.end(), at));
    std::string text(fleet.jobs[at].name);
    size_t shown = std::min<size_t>(path.size(), 8);
    for (size_t i = 1; i < shown; i++) text += fmt::format(" waits for {}, which", fleet.jobs[path[i]].name);
    if (shown < path.size()) text += fmt::format(" waits for {} more, of which the last", path.size() - shown);
    return text + fmt::format(" waits for {}", fleet.jobs[at].name);
}

uint64_t key_of(const FleetJob& job, int64_t slack_seconds, bool late) {
    auto capped = uint64_t(std::clamp<int64_t>(slack_seconds, 0, INT32_MAX));
    return uint64_t(!late) << 39 | uint64_t(UINT8_MAX - job.priority) << 31 | capped;
}

}  // namespace

Result<FleetOrder> FleetOrder::make(const Fleet& fleet, const Frame& frame) {
    auto count = uint32_t(fleet.jobs.size());
    FleetOrder made;
    if (!fleet.dependencies.empty()) {
        made.before_ = JobLists(count, [&](auto visit) {
            for (const Dependency& each : fleet.dependencies) visit(each.job, each.after);
        });
        made.behind_ = JobLists(count, [&](auto visit) {
            for (const Dependency& each : fleet.dependencies) visit(each.after, each.job);
        });
    }
    // Forwards: how early each can be, and how long a chain stands before it.
    std::vector<uint32_t> waits_for(count), depth(count), sorted;
    std::vector<int64_t> earliest(count);
    sorted.reserve(count);
    for (uint32_t job = 0; job < count; job++) {
        earliest[job] = frame.earliest(fleet.jobs[job]);
        waits_for[job] = uint32_t(made.before(job).size());
        if (waits_for[job] == 0) sorted.push_back(job);
    }
    for (size_t i = 0; i < sorted.size(); i++)
        for (uint32_t next : made.behind(sorted[i])) {
            earliest[next] = std::max(earliest[next], earliest[sorted[i]] + fleet.jobs[sorted[i]].task.length.count());
            depth[next] = std::max(depth[next], depth[sorted[i]] + 1);
            if (--waits_for[next] == 0) sorted.push_back(next);
        }
    if (sorted.size() < count) return fail(EINVAL, "job {}: a circle (remove one of these dependencies)", circle(fleet, made.before_, waits_for));
    // Backwards: by when each must have ended.
    made.until_.resize(count);
    std::vector<uint64_t> keys(count);
    for (size_t i = count; i-- > 0;) {
        uint32_t job = sorted[i];
        int64_t& until = made.until_[job] = frame.latest_end(fleet.jobs[job]);
        for (uint32_t next : made.behind(job))
            until = std::min(until, last_start_in_windows(frame, fleet.jobs[next], earliest[next], made.until_[next]));
        bool late = until - fleet.jobs[job].task.length.count() <= earliest[job];
        keys[job] = key_of(fleet.jobs[job], slack(frame, fleet.jobs[job], earliest[job], until), late);
        for (uint32_t next : made.behind(job)) keys[job] = std::min(keys[job], keys[next]);
    }
    for (uint32_t job = 0; job < count; job++) keys[job] = keys[job] << 24 | std::min<uint32_t>(depth[job], 0xffffff);
    made.order_ = std::move(sorted);
    std::sort(made.order_.begin(), made.order_.end(), [&](uint32_t a, uint32_t b) { return keys[a] != keys[b] ? keys[a] < keys[b] : a < b; });
    return made;
}

}  // namespace hyper::scheduler
