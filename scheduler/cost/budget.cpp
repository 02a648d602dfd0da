// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/budget.h"

#include <algorithm>
#include <cerrno>

namespace hyper::scheduler {

Result<OnExceed> parse_on_exceed(std::string_view text) {
    if (text == "defer-within-rpo") return OnExceed::defer_within_rpo;
    if (text == "warn") return OnExceed::warn;
    if (text == "stop") return OnExceed::stop;
    return fail(EINVAL, "on_exceed \"{}\" is not known (there are defer-within-rpo, warn, stop)", text.substr(0, 32));
}

Instant next_month(Instant now) {
    std::chrono::year_month_day day(std::chrono::floor<std::chrono::days>(now));
    return std::chrono::sys_days((day.year() / day.month() + std::chrono::months(1)) / 1);
}

Result<BudgetAnswer> judge_budget(const Budget& budget, const BudgetQuestion& question) {
    if (budget.currency != question.currency)
        return fail(EINVAL, "a budget in {} and a cost in {} cannot be compared", budget.currency, question.currency);
    int64_t then = 0;
    bool fits = !__builtin_add_overflow(question.spent.nanos, question.expected.nanos, &then) && then <= budget.amount.nanos;
    if (fits || question.expected.nanos <= 0) return BudgetAnswer{.reason = "within the budget of the month"};
    std::string sum = fmt::format("{} {} spent this month and {} for this run are more than the budget of {}", money_text(question.spent), budget.currency,
                                  money_text(question.expected), money_text(budget.amount));
    Instant month = next_month(question.now);
    switch (budget.on_exceed) {
        case OnExceed::warn:
            return BudgetAnswer{.exceeded = true, .reason = sum + "; it runs all the same (on_exceed is warn)"};
        case OnExceed::stop:
            return BudgetAnswer{BudgetVerdict::stop, month, true, sum + "; it does not run before " + instant_text(month) + " (on_exceed is stop)"};
        case OnExceed::defer_within_rpo:
            break;
    }
    if (question.now >= question.last_start)
        return BudgetAnswer{.exceeded = true, .reason = sum + "; it runs now, since the recovery point objective comes first"};
    bool deadline = question.last_start < month;
    Instant until = deadline ? question.last_start : month;
    return BudgetAnswer{BudgetVerdict::defer, until, true,
                        sum + "; it waits until " + instant_text(until) + (deadline ? ", the last moment that keeps its recovery point objective" : ", the next month")};
}

}  // namespace hyper::scheduler
