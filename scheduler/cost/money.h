// SPDX-License-Identifier: Apache-2.0
// Money: whole nano-units of a currency, never a floating-point number. Negative amounts are legal: power prices may be.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "blockengine/base/result.h"

namespace hyper::scheduler {

struct Money {
    int64_t nanos = 0;  // 10^-9 of the currency's unit; up to 9.2 billion units

    // What does not fit is the most that does.
    Money operator+(Money other) const {
        int64_t sum = 0;
        if (__builtin_add_overflow(nanos, other.nanos, &sum)) sum = nanos < 0 ? INT64_MIN : INT64_MAX;
        return {sum};
    }
    auto operator<=>(const Money&) const = default;
};

// "0.0125", "-3.5", "12". EINVAL for what is no plain decimal number or has more than nine places that are not 0.
Result<Money> parse_money(std::string_view text);
// "0.0125".
std::string money_text(Money money);

// price * quantity / divisor, rounded to the nearest nano-unit, halves away from zero. `divisor` is above 0. ERANGE where the amount
// does not fit.
Result<Money> amount_of(Money price, int64_t quantity, int64_t divisor);

}  // namespace hyper::scheduler
