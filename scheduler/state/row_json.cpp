// SPDX-License-Identifier: Apache-2.0
#include "scheduler/state/row_json.h"

#include <cerrno>
#include <nlohmann/json.hpp>
#include <type_traits>
#include <utility>

namespace hyper::scheduler {
namespace {

using Json = nlohmann::ordered_json;

// Writes: keys in the order in which they are named; what is not there is left out.
class Writer {
  public:
    void value(const char* key, const std::string& text) { json[key] = text; }
    void value(const char* key, Instant at) { json[key] = instant_text(at); }
    void value(const char* key, Seconds seconds) { json[key] = seconds.count(); }
    void value(const char* key, bool yes) { json[key] = yes; }
    void value(const char* key, unsigned number) { json[key] = number; }
    void value(const char* key, uint64_t number) { json[key] = number; }
    void value(const char* key, int64_t number) { json[key] = number; }
    void value(const char* key, double number) { json[key] = number; }
    void value(const char* key, Money money) { json[key] = money_text(money); }
    void value(const char* key, Phase phase) { json[key] = phase_name(phase); }
    void value(const char* key, const carbon::Estimate& estimate) {
        json[key] = {{"low", estimate.low}, {"middle", estimate.middle}, {"high", estimate.high}};
    }
    void value(const char* key, const carbon::SyncEnergy& energy) {
        Writer inner;
        inner.value("source", energy.source), inner.value("target", energy.target), inner.value("network", energy.network);
        json[key] = inner.json;
    }
    void value(const char* key, const std::vector<TimeRange>& ranges) {
        json[key] = Json::array();
        for (const TimeRange& range : ranges) json[key].push_back({instant_text(range.from), instant_text(range.until)});
    }
    // JSON in itself.
    void nested(const char* key, const std::string& text) { json[key] = text.empty() ? Json() : Json::parse(text, nullptr, false); }
    template <class T>
    void value(const char* key, const std::optional<T>& optional) {
        if (optional) value(key, *optional);
    }

    std::string text() const { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

    Json json = Json::object();
};

// Reads the same. What is missing stays as it is; what has another type makes good() false.
class Reader {
  public:
    explicit Reader(std::string_view text) : json_(Json::parse(text, nullptr, false)), good_(json_.is_object()) {}
    explicit Reader(Json json) : json_(std::move(json)), good_(json_.is_object()) {}
    bool good() const { return good_; }

    void value(const char* key, std::string& into) {
        if (const Json* found = find(key)) found->is_string() ? void(into = found->get<std::string>()) : bad();
    }
    void value(const char* key, Instant& into) {
        if (const Json* found = find(key)) read(*found, into);
    }
    void value(const char* key, Seconds& into) {
        constexpr int64_t most = 10 * 366 * 86400;
        if (const Json* found = find(key))
            found->is_number_integer() && found->get<int64_t>() >= 0 && found->get<int64_t>() <= most ? void(into = Seconds(found->get<int64_t>())) : bad();
    }
    void value(const char* key, bool& into) {
        if (const Json* found = find(key)) found->is_boolean() ? void(into = found->get<bool>()) : bad();
    }
    template <class Number>
        requires std::is_arithmetic_v<Number>
    void value(const char* key, Number& into) {
        const Json* found = find(key);
        if (found == nullptr) return;
        bool fits = found->is_number();
        if constexpr (std::is_integral_v<Number>)
            fits = found->is_number_unsigned() ? std::in_range<Number>(found->get<uint64_t>())
                                               : found->is_number_integer() && std::in_range<Number>(found->get<int64_t>());
        fits ? void(into = found->get<Number>()) : bad();
    }
    void value(const char* key, Money& into) {
        std::string text;
        value(key, text);
        if (text.empty()) return;
        auto money = parse_money(text);
        money ? void(into = *money) : bad();
    }
    void value(const char* key, Phase& into) {
        std::string text;
        value(key, text);
        if (text.empty()) return;
        auto phase = find_phase(text);
        phase ? void(into = *phase) : bad();
    }
    void value(const char* key, carbon::Estimate& into) {
        const Json* found = find(key);
        if (!found) return;
        Reader inner(*found);
        inner.value("low", into.low), inner.value("middle", into.middle), inner.value("high", into.high);
        if (!inner.good()) bad();
    }
    void value(const char* key, carbon::SyncEnergy& into) {
        const Json* found = find(key);
        if (!found) return;
        Reader inner(*found);
        inner.value("source", into.source), inner.value("target", into.target), inner.value("network", into.network);
        if (!inner.good()) bad();
    }
    void value(const char* key, std::vector<TimeRange>& into) {
        const Json* found = find(key);
        if (!found) return;
        into.clear();
        if (!found->is_array()) return bad();
        for (const Json& range : *found) {
            if (!range.is_array() || range.size() != 2) return bad();
            TimeRange& made = into.emplace_back();
            read(range[0], made.from), read(range[1], made.until);
        }
    }
    void nested(const char* key, std::string& into) {
        if (const Json* found = find(key)) into = found->is_null() ? std::string() : found->dump();
    }
    template <class T>
    void value(const char* key, std::optional<T>& into) {
        if (find(key)) value(key, into.emplace());
    }

  private:
    const Json* find(const char* key) const {
        if (!json_.is_object()) return nullptr;
        auto found = json_.find(key);
        return found == json_.end() ? nullptr : &*found;
    }
    void read(const Json& json, Instant& into) {
        if (!json.is_string()) return bad();
        auto at = parse_instant(json.get<std::string>());
        at ? void(into = *at) : bad();
    }
    void bad() { good_ = false; }

    Json json_;
    bool good_;
};

// const to be written, and not to be read.
template <class T, class Row>
concept RowOf = std::is_same_v<std::remove_const_t<T>, Row>;

// The same list of members for both ways.
template <class Codec, RowOf<JobState> State>
void members(Codec& codec, State& state) {
    codec.value("job", state.job);
    codec.value("phase", state.phase);
    codec.value("why", state.why);
    codec.value("next-start", state.next_start);
    codec.value("since", state.since);
    codec.value("last-point", state.last_point);
    codec.value("last-success-end", state.last_success_end);
    codec.value("last-generation", state.last_generation);
    codec.value("last-end", state.last_end);
    codec.value("last-failed", state.last_failed);
    codec.value("period", state.period);
    codec.value("due", state.due);
    codec.value("attempts", state.attempts);
    codec.value("retry-at", state.retry_at);
    codec.value("run-started", state.run_started);
    codec.value("attempt-started", state.attempt_started);
    codec.value("ran-seconds", state.ran);
    codec.value("buffered", state.buffered);
    codec.value("cancelled", state.cancelled);
    codec.value("suspended", state.suspended);
    codec.value("served-until", state.served_until);
    codec.value("asked", state.asked);
    codec.value("run-asked", state.run_asked);
    codec.value("user-paused", state.user_paused);
    codec.value("over-budget", state.over_budget);
}

template <class Codec, RowOf<RunRow> Row>
void members(Codec& codec, Row& row) {
    codec.value("job", row.job);
    codec.value("period", row.period);
    codec.value("due", row.due);
    codec.value("decided-at", row.decided_at);
    codec.value("planned-start", row.planned_start);
    codec.value("deadline", row.deadline);
    codec.value("cause", row.cause);
    codec.value("explanation", row.explanation);
    codec.nested("alternatives", row.alternatives_json);
    codec.value("forecasts", row.issues);
    codec.value("expected-grams", row.expected_grams);
    codec.value("expected-money", row.expected_money);
    codec.value("currency", row.currency);
    codec.value("expected-bytes", row.expected_bytes);
    codec.value("expected-seconds", row.expected_length);
    codec.value("phase", row.phase);
    codec.value("started-at", row.started_at);
    codec.value("ended-at", row.ended_at);
    codec.value("attempts", row.attempts);
    codec.value("message", row.message);
    codec.value("generation", row.generation);
    codec.value("moved-bytes", row.moved_bytes);
    codec.value("changed-bytes", row.changed_bytes);
    codec.value("noted-bytes", row.noted_bytes);
    codec.value("seconds", row.seconds);
    codec.value("stretches", row.stretches);
    codec.value("energy-kwh", row.energy);
    codec.value("grams", row.grams);
    codec.value("grams-at-once", row.grams_at_once);
    codec.value("grams-foresight", row.grams_foresight);
    codec.value("money", row.money);
}

template <class Codec, RowOf<DecisionRow> Row>
void members(Codec& codec, Row& row) {
    codec.value("id", row.id);
    codec.value("at", row.at);
    codec.value("seed", row.seed);
    codec.value("job", row.job);
    codec.value("action", row.action);
    codec.value("cause", row.cause);
    codec.value("explanation", row.explanation);
    codec.value("until", row.until);
    codec.value("period", row.period);
    codec.nested("alternatives", row.alternatives_json);
    codec.value("forecasts", row.issues);
}

template <class Row>
std::string written(const Row& row) {
    Writer writer;
    members(writer, row);
    return writer.text();
}

template <class Row>
Result<Row> parsed(std::string_view json, const char* what) {
    Row row;
    Reader reader(json);
    members(reader, row);
    if (!reader.good()) return fail(EINVAL, "this is no {}: {}", what, json.substr(0, 200));
    return row;
}

}  // namespace

std::string state_json(const JobState& state) { return written(state); }
Result<JobState> parse_state_json(std::string_view json) { return parsed<JobState>(json, "state of a job"); }

std::string run_json(const RunRow& row) { return written(row); }
Result<RunRow> parse_run_json(std::string_view json) { return parsed<RunRow>(json, "run"); }

std::string decision_json(const DecisionRow& row) { return written(row); }
Result<DecisionRow> parse_decision_json(std::string_view json) { return parsed<DecisionRow>(json, "decision"); }

std::string alternatives_json(const std::vector<Alternative>& alternatives) {
    Json list = Json::array();
    for (const Alternative& alternative : alternatives) {
        Writer writer;
        writer.value("what", alternative.what);
        writer.value("start", alternative.start);
        writer.value("grams", alternative.grams);
        writer.value("money", alternative.money);
        if (alternative.money) writer.value("currency", alternative.currency);
        list.push_back(writer.json);
    }
    return list.dump();
}

RunRow run_row(const Decision& decision, Instant now) {
    RunRow row;
    row.job = decision.job, row.period = decision.period, row.due = decision.due;
    row.decided_at = row.planned_start = now;
    row.deadline = decision.deadline;
    row.cause = cause_name(decision.cause);
    row.explanation = decision.explanation;
    for (const std::string& note : decision.notes) row.explanation += "; " + note;
    row.alternatives_json = alternatives_json(decision.alternatives);
    row.issues = decision.issues;
    if (!decision.alternatives.empty()) {
        const Alternative& at_once = decision.alternatives.front();
        row.expected_grams = at_once.grams.value_or(carbon::Estimate{});
        row.expected_money = at_once.money;
        row.currency = at_once.currency;
    }
    row.expected_bytes = decision.size.bytes;
    row.expected_length = decision.size.length;
    row.started_at = now;
    row.attempts = 1;
    return row;
}

DecisionRow decision_row(const Decision& decision, Instant now, uint64_t seed) {
    DecisionRow row;
    row.at = now, row.seed = seed;
    row.job = decision.job;
    row.action = action_name(decision.action);
    row.cause = cause_name(decision.cause);
    row.explanation = decision.explanation;
    for (const std::string& note : decision.notes) row.explanation += "; " + note;
    row.period = decision.period;
    row.until = decision.at;
    row.alternatives_json = alternatives_json(decision.alternatives);
    row.issues = decision.issues;
    return row;
}

}  // namespace hyper::scheduler
