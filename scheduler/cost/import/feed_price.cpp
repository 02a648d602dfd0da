// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/import/feed_price.h"

#include <algorithm>
#include <cerrno>
#include <charconv>

namespace hyper::scheduler {
namespace {

constexpr uint64_t prices_max = 1'000'000;
constexpr size_t refusals_named_max = 100;

bool plain_region(std::string_view region) {
    auto plain = [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-'; };
    return !region.empty() && region.size() <= 64 && std::all_of(region.begin(), region.end(), plain);
}

// What makes one list of these tiers, or what is wrong with them.
Result<std::vector<FeedPrice>> whole(std::vector<FeedPrice> tiers) {
    std::stable_sort(tiers.begin(), tiers.end(), [](const FeedPrice& a, const FeedPrice& b) { return a.start < b.start; });
    std::vector<FeedPrice> list;
    Instant newest = Instant::min();
    for (FeedPrice& tier : tiers) {
        newest = std::max(newest, TRY(parse_instant(tier.effective)));
        if (!list.empty() && list.back().start == tier.start) {  // feeds repeat themselves
            if (list.back().price != tier.price || list.back().end != tier.end || list.back().unit != tier.unit || list.back().currency != tier.currency)
                return fail(EINVAL, "two prices from {} on: {} and {} {}", money_text(tier.start), money_text(list.back().price), money_text(tier.price),
                            tier.currency);
            continue;
        }
        list.push_back(std::move(tier));
    }
    for (size_t i = 0; i < list.size(); i++) {
        bool last = i + 1 == list.size();
        if (i == 0 && list[i].start != Money{}) return fail(EINVAL, "no price below {} {}", money_text(list[i].start), list[i].unit);
        if (!last && !list[i].end) list[i].end = list[i + 1].start;
        if (!last && list[i].end != list[i + 1].start) return fail(EINVAL, "no price, or two, at {} {}", money_text(list[i + 1].start), list[i].unit);
        if (last && list[i].end) return fail(EINVAL, "no price from {} {} on", money_text(*list[i].end), list[i].unit);
        if (list[i].unit != list[0].unit || list[i].currency != list[0].currency) return fail(EINVAL, "two units or currencies");
        list[i].effective = instant_text(newest).substr(0, 10);
    }
    return list;
}

}  // namespace

Result<Money> parse_decimal(std::string_view text) {
    size_t e = text.find_first_of("eE");
    if (e == text.npos) return parse_money(text);
    int exponent = 0;
    std::string_view power = text.substr(e + 1);
    if (power.starts_with('+')) power.remove_prefix(1);
    auto [at, error] = std::from_chars(power.data(), power.data() + power.size(), exponent);
    bool digit = text.substr(0, e).find_first_of("0123456789") != text.npos;
    if (!digit || error != std::errc() || at != power.data() + power.size() || exponent < -40 || exponent > 18)
        return fail(EINVAL, "\"{}\" is no amount", text.substr(0, 32));
    // Moves the point, by writing the number without one.
    std::string digits(text.substr(0, e));
    bool negative = digits.starts_with('-');
    if (negative) digits.erase(0, 1);
    size_t point = std::min(digits.find('.'), digits.size());
    if (point < digits.size()) digits.erase(point, 1);
    int places = int(digits.size()) - int(point) - exponent;  // behind the point
    if (places < 0) digits.append(size_t(-places), '0'), places = 0;
    if (int(digits.size()) < places) digits.insert(0, size_t(places) - digits.size(), '0');
    digits.insert(digits.size() - size_t(places), ".");
    return parse_money((negative ? "-" : "") + digits);
}

void PriceCollector::add(FeedPrice price) {
    if (++count_ > prices_max) return;
    if (!plain_region(price.key.region)) return refuse_key(price.key, price.name, "region \"" + price.key.region.substr(0, 64) + "\" is no name of one");
    if (auto unit = find_unit(price.unit); !unit) return refuse_key(price.key, price.name, unit.error().message);
    lists_[price.key].push_back(std::move(price));
}

void PriceCollector::refuse(std::string name, std::string why) {
    refused_count_++;
    if (refused_.size() < refusals_named_max) refused_.push_back({std::move(name), std::move(why)});
}

void PriceCollector::refuse_key(const PriceKey& key, std::string name, std::string why) {
    if (bad_.size() < prices_max) bad_.try_emplace(key, Refusal{std::move(name), std::move(why)});
}

Result<ImportedPrices> PriceCollector::finish() && {
    if (count_ > prices_max) return fail(EFBIG, "more than {} prices", prices_max);
    for (auto& [key, refusal] : bad_) {
        lists_.erase(key);
        refuse(refusal.name, key.text() + ": " + refusal.why);
    }
    ImportedPrices imported;
    for (auto& [key, tiers] : lists_) {
        std::string name = tiers.front().name;
        auto list = whole(std::move(tiers));
        if (!list) {
            refuse(name, key.text() + ": " + list.error().message);
            continue;
        }
        imported.prices.insert(imported.prices.end(), std::make_move_iterator(list->begin()), std::make_move_iterator(list->end()));
    }
    imported.refused = std::move(refused_), imported.refused_count = refused_count_, imported.other_count = other_;
    return imported;
}

std::string csv_field(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == text.npos && !text.starts_with('#')) return std::string(text);
    std::string quoted = "\"";
    for (char c : text) quoted += c == '"' ? "\"\"" : std::string(1, c);
    return quoted + '"';
}

std::string price_csv(const ImportedPrices& imported) {
    std::string text = "vendor,service,family,region,sku,attributes,purchase_option,unit,start,end,price,currency,effective,source\n";
    for (const FeedPrice& one : imported.prices) {
        const std::string fields[] = {one.key.vendor, one.key.service, one.key.family, one.key.region, one.key.sku, one.attributes, "on-demand",
                                      one.unit, money_text(one.start), one.end ? money_text(*one.end) : "", money_text(one.price), one.currency,
                                      one.effective, one.source};
        for (size_t i = 0; i < std::size(fields); i++) text += (i == 0 ? "" : ",") + csv_field(fields[i]);
        text += '\n';
    }
    return text;
}

}  // namespace hyper::scheduler
