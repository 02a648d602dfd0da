// SPDX-License-Identifier: Apache-2.0
#include "scheduler/cost/money.h"

#include <cassert>
#include <cerrno>
#include <limits>

namespace hyper::scheduler {
namespace {

constexpr int64_t nanos_per_unit = 1'000'000'000;
__extension__ using Wide = __int128;

}  // namespace

Result<Money> parse_money(std::string_view text) {
    auto bad = [&] { return fail(EINVAL, "\"{}\" is no amount (try 0.0125; nine decimal places at most)", text.substr(0, 32)); };
    std::string_view digits = text;
    bool negative = digits.starts_with('-');
    if (negative) digits.remove_prefix(1);
    Wide nanos = 0;
    int places = -1;  // behind the point; -1 before it
    bool any = false;
    for (char c : digits) {
        if (c == '.' && places < 0) {
            places = 0;
            continue;
        }
        if (c < '0' || c > '9') return bad();
        any = true;
        if (places == 9) {
            if (c != '0') return bad();
            continue;
        }
        nanos = nanos * 10 + (c - '0');
        if (places >= 0) places++;
        if (nanos > Wide(std::numeric_limits<int64_t>::max())) return bad();
    }
    if (!any) return bad();
    for (int place = std::max(places, 0); place < 9; place++) nanos *= 10;
    if (nanos > Wide(std::numeric_limits<int64_t>::max())) return bad();
    return Money{negative ? -int64_t(nanos) : int64_t(nanos)};
}

std::string money_text(Money money) {
    uint64_t nanos = money.nanos < 0 ? uint64_t(0) - uint64_t(money.nanos) : uint64_t(money.nanos);
    std::string text = fmt::format("{}{}.{:09}", money.nanos < 0 ? "-" : "", nanos / nanos_per_unit, nanos % nanos_per_unit);
    text.erase(text.find_last_not_of('0') + 1);
    if (text.ends_with('.')) text.pop_back();
    return text;
}

Result<Money> amount_of(Money price, int64_t quantity, int64_t divisor) {
    assert(divisor > 0);
    Wide product = Wide(price.nanos) * quantity;
    Wide half = product < 0 ? -Wide(divisor) / 2 : Wide(divisor) / 2;
    Wide amount = (product + half) / divisor;
    if (amount > Wide(std::numeric_limits<int64_t>::max()) || amount < Wide(std::numeric_limits<int64_t>::min()))
        return fail(ERANGE, "{} times {} does not fit an amount of money", money_text(price), quantity);
    return Money{int64_t(amount)};
}

}  // namespace hyper::scheduler
