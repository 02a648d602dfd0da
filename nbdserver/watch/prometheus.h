// SPDX-License-Identifier: Apache-2.0
// The registry as Prometheus text, by prometheus-cpp, which is included in prometheus.cpp alone.
#pragma once

#include <string>

#include "nbdserver/watch/registry.h"

namespace hyper::watch {

// The first so many exports to be opened have a label of their own; further ones are summed under
// Registry::others_name, so no sum ever loses a member.
inline constexpr size_t labelled_exports_max = 200;

// In the text format 0.0.4 of Prometheus. Thread-safe.
//
//     hypernbd_start_time_seconds                       gauge, Unix time
//     hypernbd_clients                                  gauge, open now
//     hypernbd_clients_total                            counter, that have opened an export
//     hypernbd_in_flight_bytes                          gauge, of requests not answered yet
//     hypernbd_export_clients{export}                   gauge
//     hypernbd_requests_total{export,command}           counter, those that failed included
//     hypernbd_request_bytes_total{export,command}      counter, of requests that did not fail
//     hypernbd_request_errors_total{export,command}     counter
//     hypernbd_request_seconds{export,command}          histogram, buckets of powers of two from 1
//     us to 16.8 s
//
// A command of an export shows from its first request on.
std::string prometheus_text(const Registry& registry);

}  // namespace hyper::watch
