// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/cost_question.h"

#include "scheduler/calendar/duration.h"
#include "scheduler/jobs/keys.h"

namespace hyper::hyperd {

using namespace scheduler;

namespace {

constexpr int64_t bytes_max = int64_t{1} << 60;
constexpr size_t targets_max = 1000;

Kind<Place> place() { return parsed<Place>("^[^:/]+:[^/]+(/.+)?$", parse_place); }
Kind<std::optional<int64_t>> bytes() { return scheduler::optional(integer<int64_t>(0, bytes_max)); }

const Keys<CostQuestion>& question_keys() {
    static const Keys<CostQuestion> keys =
        Keys<CostQuestion>()
            .key("from", &CostQuestion::from, scheduler::optional(place()), "Where the disk is read: aws:us-east-1, or with a class of objects; without it, at a place of your own")
            .key("changed_bytes", &CostQuestion::changed_bytes, bytes(), "That a sync reads")
            .key("sent_bytes", &CostQuestion::sent_bytes, bytes(), "That a sync sends, if compression makes them fewer")
            .key("part_bytes", &CostQuestion::part_bytes, integer<int64_t>(1, bytes_max), "That a request reads or writes; 8 MiB if left out")
            .key("runs", &CostQuestion::runs, integer<int64_t>(1, 1'000'000'000), "Syncs a month; else by every, else one")
            .key("every", &CostQuestion::every, scheduler::optional(parsed<Seconds>("^([0-9]{1,9}[wdhms])+$", parse_duration)), "A sync, or a generation, each so long: 24h")
            .key("keep", &CostQuestion::keep, scheduler::optional(parsed<RetentionRules>("^[a-z]+=[0-9]+(,[a-z]+=[0-9]+)*$", parse_retention)),
                 "Price a month of the generations that these rules keep: last=7,weekly=4")
            .key("disk_bytes", &CostQuestion::disk_bytes, bytes(), "Data on the disk, for keep")
            .key("sent_before_bytes", &CostQuestion::sent_before_bytes, integer<int64_t>(0, bytes_max), "That the account has sent from there this month")
            .key("day", &CostQuestion::when, parsed<Instant>("^[0-9]{4}-", parse_instant), "Prices of that day, not of today");
    return keys;
}

const Keys<EstimateQuestion>& estimate_keys() {
    static const Keys<EstimateQuestion> keys = Keys<EstimateQuestion>()
                                                   .all(&EstimateQuestion::asked, question_keys())
                                                   .key("to", &EstimateQuestion::to, scheduler::optional(place()), "Where it goes: gcp:us-central1/standard; without it, to a place of your own");
    return keys;
}

const Keys<CompareQuestion>& compare_keys() {
    static const Keys<CompareQuestion> keys = Keys<CompareQuestion>()
                                                  .all(&CompareQuestion::asked, question_keys())
                                                  .key("targets", &CompareQuestion::targets, list(place(), targets_max), "Where it may go; without any, all classes of objects that have prices");
    return keys;
}

template <class Question>
Result<Question> read(std::string_view json, const Keys<Question>& keys, Instant now) {
    Setting setting = TRY(parse_json_setting(json, "the question"));
    Question question;
    question.asked.when = now;
    TRY(keys.read(setting, question));
    return question;
}

}  // namespace

Result<EstimateQuestion> parse_estimate_question(std::string_view json, Instant now) { return read(json, estimate_keys(), now); }
Result<CompareQuestion> parse_compare_question(std::string_view json, Instant now) { return read(json, compare_keys(), now); }

std::string estimate_question_schema() { return estimate_keys().schema().dump(2); }
std::string compare_question_schema() { return compare_keys().schema().dump(2); }

}  // namespace hyper::hyperd
