// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/prometheus.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>

namespace hyper::watch {

namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using Labels = std::vector<ClientMetric::Label>;

double seconds(uint64_t ns) {
    return static_cast<double>(ns) / 1e9;
}

MetricFamily family(std::string name, std::string help, MetricType type) {
    return {std::move(name), std::move(help), type, {}};
}

MetricFamily single(std::string name, std::string help, MetricType type, double value) {
    MetricFamily made = family(std::move(name), std::move(help), type);
    ClientMetric metric;
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    made.metric.push_back(std::move(metric));
    return made;
}

void add_counter(MetricFamily& to, const Labels& labels, uint64_t value) {
    ClientMetric metric;
    metric.label = labels;
    metric.counter.value = static_cast<double>(value);
    to.metric.push_back(std::move(metric));
}

void add_histogram(MetricFamily& to, const Labels& labels, const Totals& totals) {
    ClientMetric metric;
    metric.label = labels;
    metric.histogram.sample_count = totals.requests;
    metric.histogram.sample_sum = seconds(totals.latency_sum_ns);
    uint64_t count = 0;
    for (size_t i = 0; i + 1 < totals.latency.size(); ++i) {
        count += totals.latency[i];
        metric.histogram.bucket.push_back({count, seconds(latency_bucket_max_ns(i))});
    }
    to.metric.push_back(std::move(metric));
}

// The text format has no other way for such bytes: a label is UTF-8. Names that are not are shown
// with "?".
std::string label_text(const std::string& name) {
    std::string text;
    for (size_t i = 0; i < name.size();) {
        auto byte = [&](size_t at) {
            return at < name.size() ? static_cast<unsigned char>(name[at]) : 0u;
        };
        unsigned first = byte(i);
        size_t length = first < 0x80   ? 1
                        : first < 0xc2 ? 0
                        : first < 0xe0 ? 2
                        : first < 0xf0 ? 3
                        : first < 0xf5 ? 4
                                       : 0;
        bool sound = length > 0 && i + length <= name.size();
        for (size_t k = 1; sound && k < length; ++k) sound = (byte(i + k) & 0xc0) == 0x80;
        text += sound ? name.substr(i, length) : "?";
        i += sound ? length : 1;
    }
    return text;
}

// What is shown under one label.
std::vector<ExportSnapshot> labelled(std::vector<ExportSnapshot> exports) {
    std::sort(exports.begin(), exports.end(),
              [](const ExportSnapshot& a, const ExportSnapshot& b) { return a.number < b.number; });
    while (exports.size() > labelled_exports_max + 1) {
        ExportSnapshot& others = exports[labelled_exports_max];
        others.name = Registry::others_name;
        others.clients += exports.back().clients;
        others.statistics.add(exports.back().statistics);
        exports.pop_back();
    }
    return exports;
}

}  // namespace

std::string prometheus_text(const Registry& registry) {
    MetricFamily clients =
        family("hypernbd_export_clients", "Clients that are open now.", MetricType::Gauge);
    MetricFamily requests =
        family("hypernbd_requests_total", "Requests finished, those that failed included.",
               MetricType::Counter);
    MetricFamily bytes = family("hypernbd_request_bytes_total",
                                "Bytes of the requests that did not fail.", MetricType::Counter);
    MetricFamily errors =
        family("hypernbd_request_errors_total", "Requests that failed.", MetricType::Counter);
    MetricFamily latencies =
        family("hypernbd_request_seconds", "Time from a request's arrival to its reply.",
               MetricType::Histogram);

    for (const ExportSnapshot& e : labelled(registry.exports())) {
        ClientMetric open;
        open.label = {{"export", label_text(e.name)}};
        open.gauge.value = static_cast<double>(e.clients);
        clients.metric.push_back(open);
        for (size_t i = 0; i < command_count; ++i) {
            const Totals& totals = e.statistics.commands[i];
            if (totals.requests == 0) continue;
            Labels labels = {{"export", label_text(e.name)},
                             {"command", std::string(command_name(static_cast<Command>(i)))}};
            add_counter(requests, labels, totals.requests);
            add_counter(bytes, labels, totals.bytes);
            add_counter(errors, labels, totals.errors);
            add_histogram(latencies, labels, totals);
        }
    }
    uint64_t in_flight = 0;
    std::vector<ClientSnapshot> open = registry.clients();
    for (const ClientSnapshot& client : open) in_flight += client.bytes_in_flight;
    auto started = std::chrono::duration<double>(registry.started().time_since_epoch()).count();
    std::vector<MetricFamily> all;
    all.push_back(single("hypernbd_start_time_seconds", "When the server started, Unix time.",
                         MetricType::Gauge, started));
    all.push_back(single("hypernbd_clients", "Clients that are open now.", MetricType::Gauge,
                         static_cast<double>(open.size())));
    all.push_back(single("hypernbd_clients_total", "Clients that have opened an export.",
                         MetricType::Counter, static_cast<double>(registry.clients_since_start())));
    all.push_back(single("hypernbd_in_flight_bytes", "Bytes of requests that are not answered yet.",
                         MetricType::Gauge, static_cast<double>(in_flight)));
    for (MetricFamily* made : {&clients, &requests, &bytes, &errors, &latencies})
        if (!made->metric.empty()) all.push_back(std::move(*made));
    return prometheus::TextSerializer().Serialize(all);
}

}  // namespace hyper::watch
