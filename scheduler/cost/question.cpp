// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/question.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <set>

#include "scheduler/cost/kept_generations.h"

namespace hyper::scheduler {
namespace {

constexpr int64_t month_s = 730 * 3600;

Result<int64_t> runs_a_month(const CostQuestion& question) {
    if (question.runs < 0) return fail(EINVAL, "runs: {} is below 0", question.runs);
    if (question.runs > 0 || !question.every) return std::max<int64_t>(question.runs, 1);
    int64_t every_s = question.every->count();
    if (every_s < 1) return fail(EINVAL, "every: {} s is no interval", every_s);
    return (month_s + every_s - 1) / every_s;
}

// Of one question, by the hours that a target bills at least: all else is the same for all targets.
using KeptByHours = std::map<int64_t, KeptGenerations>;

Result<Estimate> estimate_generations(const Prices& prices, const CostQuestion& question, const Place& at, KeptByHours& known) {
    if (!question.disk_bytes || !question.every) return fail(EINVAL, "keep: needs how much data is on the disk (disk), and how often there is a generation (every)");
    GenerationPlan plan;
    plan.disk_bytes = *question.disk_bytes;
    plan.change_bytes = question.sent_bytes.value_or(question.changed_bytes.value_or(0));
    plan.interval = *question.every;
    plan.keep = *question.keep;
    const PriceList* list = TRY(find_price(prices, at.storage_class.empty() ? snapshot_key(at, "standard") : storage_key(at), question.when));
    plan.hours_min = hours_min_of(*list);
    auto kept = known.find(plan.hours_min);
    if (kept == known.end()) kept = known.emplace(plan.hours_min, TRY(keep_generations(plan))).first;
    return estimate_storage(prices, {at, kept->second.stored_bytes, kept->second.early_byte_hours}, question.when);
}

std::vector<Place> all_targets(const Prices& prices, Instant when) {
    std::set<std::string> seen;
    std::vector<Place> places;
    for (const PriceList& list : prices.lists()) {
        Place place{list.key.vendor, list.key.region, list.key.sku};
        if (list.key.family == "storage" && list.effective <= when && seen.insert(place.text()).second) places.push_back(place);
    }
    return places;
}

Result<Estimate> estimate(const Prices& prices, const CostQuestion& question, const std::optional<Place>& to, KeptByHours& known) {
    if (!question.changed_bytes && !question.keep) return fail(EINVAL, "what is to be priced? syncs, by the bytes that they read (changed), or what is kept of them (keep)");
    Estimate priced;
    if (question.changed_bytes) {
        SyncToPrice syncs;
        syncs.from = question.from;
        syncs.to = to;
        syncs.changed_bytes = *question.changed_bytes;
        syncs.sent_bytes = question.sent_bytes.value_or(*question.changed_bytes);
        syncs.part_bytes = question.part_bytes;
        syncs.runs = TRY(runs_a_month(question));
        syncs.sent_before_bytes = question.sent_before_bytes;
        priced = TRY(estimate_syncs(prices, syncs, question.when));
    }
    if (!question.keep) return priced;
    if (!to) return fail(EINVAL, "keep: storage of your own has no price; name a class of objects to be priced (to)");
    Estimate kept = TRY(estimate_generations(prices, question, *to, known));
    return sum(std::move(priced), kept);
}

}  // namespace

Result<Estimate> estimate(const Prices& prices, const CostQuestion& question, const std::optional<Place>& to) {
    KeptByHours known;
    return estimate(prices, question, to, known);
}

Result<Comparison> compare(const Prices& prices, const CostQuestion& question, std::vector<Place> places) {
    if (places.empty()) places = all_targets(prices, question.when);
    Comparison made;
    KeptByHours known;
    for (const Place& place : places) {
        auto priced = estimate(prices, question, place, known);
        if (priced)
            made.targets.push_back({place, std::move(*priced)});
        else if (priced.error().code == ENOENT)
            made.not_priced.push_back({place, priced.error().message});
        else
            return tl::unexpected(priced.error());
    }
    auto rank = [](const Comparison::Target& target) {
        auto first = target.estimate.totals.begin();
        return first == target.estimate.totals.end() ? std::pair(std::string(), Money{}) : std::pair(first->first, first->second);
    };
    std::stable_sort(made.targets.begin(), made.targets.end(), [&](const auto& a, const auto& b) { return rank(a) < rank(b); });
    return made;
}

}  // namespace hyper::scheduler
