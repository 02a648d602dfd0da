// SPDX-License-Identifier: Apache-2.0
// The answers of carbon services, of any bytes, and what is kept of them: the first byte says which parser reads the rest. Whatever is taken is
// bounded and finite.
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "carbon/feeds/electricity_maps.h"
#include "carbon/feeds/energy_charts.h"
#include "carbon/feeds/feed_memory.h"
#include "carbon/feeds/gb_carbon_intensity.h"
#include "carbon/feeds/points.h"
#include "carbon/feeds/watttime.h"

namespace hyper::carbon {
namespace {

const Instant now{Seconds(1'772'359'200)};

void require(bool condition) {
    if (!condition) std::abort();
}

// Kept, read again, and put together with itself.
void take(const MeasuredSteps& steps) {
    require(steps.series.size() <= points_max && steps.estimated.size() == steps.series.size());
    for (double value : steps.series.values()) require(std::isnan(value) || std::abs(value) <= grams_per_kwh_max);
    if (steps.series.empty()) return;
    StoredAnswer answer{StoredAnswer::What::measured, now, {}, steps};
    FeedMemory memory;
    memory.take(answer);
    memory.take(answer);
    require(memory.measured().size() <= size_t(AnswerFile::kept_for / Seconds(60)) + 2);
    if (auto kept = decode_answer({now, encode_answer(answer, SignalKind::average)}, SignalKind::average))
        require(kept->steps.series.size() == steps.series.size());
}
void take(const Result<MeasuredSteps>& steps) {
    if (steps) take(*steps);
    else require(!steps.error().message.empty());
}

template <class Answer>
void take_both(const Result<Answer>& answer) {
    if (!answer) return;
    take(answer->measured);
    take(answer->forecast);
}

}  // namespace
}  // namespace hyper::carbon

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    using namespace hyper;
    using namespace hyper::carbon;
    if (size == 0) return 0;
    std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
    switch (data[0]) {
        case 'l':
            take(electricity_maps::read_latest(text, "DE"));
            break;
        case 'h':
            take(electricity_maps::read_history(text, "DE"));
            break;
        case 'f':
            if (auto forecast = electricity_maps::read_forecast(text, "DE", now))
                require(forecast->issued_at <= now && forecast->series.size() <= points_max);
            break;
        case 't':
            if (auto token = watttime::read_login(text)) require(token->find_first_of("\r\n ") == token->npos);
            break;
        case 'w':
            if (auto answer = watttime::read_answer(text, "CAISO_NORTH", "co2_moer", now)) {
                require(answer->generated_at <= now);
                take(answer->steps);
            }
            break;
        case 'g':
            take_both(gb_carbon_intensity::read_answer(text));
            break;
        case 'e':
            take_both(energy_charts::read_answer(text));
            break;
        case 'r':
            retry_after(text, now);
            break;
        case 's': {
            Bytes payload(text.size());
            if (!text.empty()) std::memcpy(payload.data(), text.data(), text.size());
            if (auto answer = decode_answer({now, payload}, SignalKind::average)) {
                FeedMemory memory;
                memory.take(*answer);
                memory.outlook(now, now + std::chrono::hours(48), std::chrono::hours(3));
            }
            break;
        }
        default:
            break;
    }
    return 0;
}
