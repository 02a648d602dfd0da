// SPDX-License-Identifier: Apache-2.0
// What an answer that is not the wanted one means, in the vocabulary of hyper-provider.h.
#pragma once

#include <string>

#include "providers/s3/answer.h"

namespace hyper::s3 {

// Whether the object was there before: what is missing or different then is gone, and otherwise was named wrongly.
enum class Known { no, yes };

// `what` was attempted and on what, for the message: "s3://bucket/web01.raw: read 65536 bytes at offset 0".
// For an answer that failed, or whose status is not 2xx.
Failure failure_of(const HttpAnswer& answer, const std::string& what, Known known);

// Why no answer came, or not all of it.
Failure failure_of(const HttpFailure& failure);

// How far two texts as in a Date header are apart; 0 where one is none.
int64_t seconds_between(const std::string& date, int64_t now_s);

}  // namespace hyper::s3
