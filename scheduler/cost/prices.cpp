// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/prices.h"

#include <algorithm>
#include <cerrno>
#include <map>
#include <tuple>

#include "blockengine/base/bytes.h"

namespace hyper::scheduler {
namespace {

// A tier's bound, which may have decimals ("0.5 TB"), in base units.
Result<int64_t> parse_bound(const std::string& text, const Unit& unit) {
    Money units = TRY(parse_money(text));
    if (units.nanos < 0) return fail(EINVAL, "bound {} is below 0", text);
    return TRY(amount_of(units, unit.base_per_unit, 1'000'000'000)).nanos;
}

Result<void> check_tiers(PriceList& list) {
    std::sort(list.tiers.begin(), list.tiers.end(), [](const Tier& a, const Tier& b) { return a.start < b.start; });
    int64_t next = 0;
    for (size_t i = 0; i < list.tiers.size(); i++) {
        const Tier& tier = list.tiers[i];
        bool last = i + 1 == list.tiers.size();
        if (tier.start != next || (!last && !tier.end) || (tier.end && *tier.end <= tier.start))
            return fail(EINVAL, "price of {}: its tiers overlap or have a hole", list.key.text());
        if (last && tier.end) return fail(EINVAL, "price of {}: its last tier has an end", list.key.text());
        next = tier.end.value_or(0);
    }
    return {};
}

}  // namespace

Result<Prices> Prices::read(const CsvTable& table) {
    size_t column[14];
    constexpr std::string_view names[14] = {"vendor", "service", "family", "region", "sku",      "attributes", "purchase_option",
                                            "unit",   "start",   "end",    "price",  "currency", "effective",  "source"};
    for (size_t i = 0; i < 14; i++) column[i] = TRY(table.column(names[i]));
    std::map<std::pair<PriceKey, Instant>, PriceList> lists;
    for (size_t row = 0; row < table.row_count(); row++) {
        auto cell = [&](size_t i) -> const std::string& { return table.cell(row, column[i]); };
        auto made = [&](size_t i, auto result) { return table.made_of(row, column[i], std::move(result)); };
        PriceKey key{cell(0), cell(1), cell(2), cell(3), cell(4)};
        Unit unit = TRY(made(7, find_unit(cell(7))));
        Instant effective = TRY(made(12, parse_instant(cell(12))));
        PriceList& list = lists[{key, effective}];
        if (!list.tiers.empty() && (list.currency != cell(11) || list.unit.name != unit.name))
            return fail(EINVAL, "price of {}: two currencies or units in one list", key.text());
        list.key = key, list.unit = unit, list.currency = cell(11), list.attributes = cell(5), list.source = cell(13), list.effective = effective;
        Tier tier{.start = cell(8).empty() ? 0 : TRY(made(8, parse_bound(cell(8), unit))), .end = {}, .price = TRY(made(10, parse_money(cell(10))))};
        if (!cell(9).empty()) tier.end = TRY(made(9, parse_bound(cell(9), unit)));
        list.tiers.push_back(tier);
    }
    Prices prices;
    for (auto& [key, list] : lists) {
        TRY(check_tiers(list));
        prices.lists_.push_back(std::move(list));
    }
    return prices;
}

void Prices::add(const Prices& other) {
    std::map<std::pair<PriceKey, Instant>, PriceList> lists;
    for (PriceList& list : lists_) lists[{list.key, list.effective}] = std::move(list);
    for (const PriceList& list : other.lists_) lists[{list.key, list.effective}] = list;
    lists_.clear();
    for (auto& [key, list] : lists) lists_.push_back(std::move(list));
}

Result<const PriceList*> Prices::find(const PriceKey& key, Instant day) const {
    auto newer = std::upper_bound(lists_.begin(), lists_.end(), std::tie(key, day),
                                  [](const auto& wanted, const PriceList& list) { return wanted < std::tie(list.key, list.effective); });
    if (newer == lists_.begin() || std::prev(newer)->key != key) return fail(ENOENT, "no price of {} on {} (import a price file)", key.text(), instant_text(day).substr(0, 10));
    return &*std::prev(newer);
}

}  // namespace hyper::scheduler
