// SPDX-License-Identifier: Apache-2.0
// The bytes of one price feed, given to every reader. What they make of it has to be a price file that we read, and a power file.
#include <cstdint>
#include <cstdlib>
#include <sstream>

#include "scheduler/cost/import/aws.h"
#include "scheduler/cost/import/azure.h"
#include "scheduler/cost/import/gcp.h"
#include "scheduler/cost/import/oci.h"
#include "scheduler/cost/import/power_feeds.h"
#include "scheduler/cost/power.h"

namespace {

using namespace hyper;
using namespace hyper::scheduler;

void expect(bool good) {
    if (!good) std::abort();
}

template <class Import>
void check_prices(const std::string& text, Import import_feed) {
    std::istringstream in(text);
    PriceCollector collector;
    if (!import_feed(in, collector)) return;
    auto imported = std::move(collector).finish();
    if (!imported) return;
    auto table = CsvTable::parse(price_csv(*imported), "prices.csv");
    expect(table && Prices::read(*table));
}

template <class Read>
void check_power(const std::string& text, Read read_feed) {
    std::istringstream in(text);
    auto feed = read_feed(in, "feed");
    if (!feed) return;
    auto table = CsvTable::parse(power_csv_header() + power_csv_rows(*feed, "tariff"), "power.csv");
    expect(table.has_value());
    auto tariffs = read_power_tariffs(*table);
    if (!tariffs || tariffs->empty()) return;  // steps of a feed may overlap
    const PowerTariff& tariff = tariffs->at("tariff");
    (void)tariff.cost(1000, feed->steps.front().from, feed->steps.front().until);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    std::string text(reinterpret_cast<const char*>(data), size);
    check_prices(text, [](std::istream& in, PriceCollector& into) { return import_aws(in, "feed", into); });
    check_prices(text, [](std::istream& in, PriceCollector& into) { return import_azure(in, "feed", into); });
    check_prices(text, [](std::istream& in, PriceCollector& into) { return import_gcp(in, "feed", into); });
    check_prices(text, [](std::istream& in, PriceCollector& into) { return import_oci(in, "feed", "2026-01-01", into); });
    check_power(text, read_octopus);
    check_power(text, read_energy_charts);
    return 0;
}
