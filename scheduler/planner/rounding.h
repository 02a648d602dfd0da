// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

namespace hyper::scheduler {

// Sums of the same numbers in another order differ in the last bits: by less than this.
inline double rounding(double weight) {
    return std::abs(weight) * 1e-12;
}

}  // namespace hyper::scheduler
