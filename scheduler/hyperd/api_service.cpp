// SPDX-License-Identifier: Apache-2.0
// Events, metrics and the document about all of this.
#include <charconv>
#include <memory>

#include "scheduler/hyperd/api.h"
#include "scheduler/hyperd/metrics.h"
#include "scheduler/hyperd/openapi.h"
#include "scheduler/hyperd/views.h"

namespace hyper::hyperd {

namespace {

// So that both sides notice when the other has gone.
constexpr std::chrono::milliseconds heartbeat{15'000};
constexpr std::chrono::minutes stream_life{10};
constexpr size_t events_at_once = 100;

std::optional<int64_t> id_of(std::string_view text) {
    int64_t id = 0;
    auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), id);
    if (text.empty() || error != std::errc() || end != text.data() + text.size() || id < 0) return std::nullopt;
    return id;
}

std::string text_of(const scheduler::Event& event) {
    return fmt::format("id: {}\nevent: {}\ndata: {}\n\n", event.id, event.kind, json_of(event).dump(-1, ' ', false, Json::error_handler_t::replace));
}

// An open stream counts until nobody holds it any more.
struct Stream {
    explicit Stream(std::atomic<int>& open) : open_(open) {}
    ~Stream() { --open_; }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

  private:
    std::atomic<int>& open_;
};

// Without an id, from now on; with one, from the event after it: what happened in between is in the store.
http::Answer events(Api& api, const Call& call) {
    auto given = call.request.header("last-event-id");
    auto from = given ? id_of(*given) : std::nullopt;
    if (given && !from) return problem(422, "Last-Event-ID must be the number of an event", {"header.Last-Event-ID", Json(*given)});
    if (!from) {
        auto last = api.daemon.last_event();
        if (!last) return problem_of(last.error());
        from = *last;
    }
    if (++api.streams > streams_max) {
        --api.streams;
        auto answer = problem(503, fmt::format("{} streams of events are open, and no more are served", streams_max));
        answer.headers.emplace_back("Retry-After", "30");
        return answer;
    }
    auto stream = std::make_shared<Stream>(api.streams);
    http::Answer answer{200, "text/event-stream", "", {{"Cache-Control", "no-store"}}};
    bool begun = false;
    // Not for ever: whoever may still come in comes again, and goes on where it was.
    auto until = std::chrono::steady_clock::now() + stream_life;
    answer.next_piece = [stream, &api, last = *from, begun, until]() mutable -> std::optional<std::string> {
        if (std::chrono::steady_clock::now() >= until) return std::nullopt;
        if (!std::exchange(begun, true)) return "retry: 2000\n\n";
        auto found = api.daemon.events_after(last, events_at_once, heartbeat);
        if (!found) return std::nullopt;
        if (found->empty() && !api.daemon.wait(std::chrono::milliseconds(0))) return std::nullopt;
        std::string text;
        for (const auto& event : *found) {
            text += text_of(event);
            last = event.id;
        }
        return text.empty() ? ":\n\n" : text;
    };
    return answer;
}

}  // namespace

void add_service_routes(std::vector<Route>& routes, Api& api) {
    routes.push_back({"GET", "/events", "events", "What happens, as server-sent events; goes on where Last-Event-ID says", Scope::read,
                      {{"Last-Event-ID", "header", "the last event that was seen", 0}}, "", {200, "", "a stream without end", "text/event-stream"},
                      [&api](const Call& call) { return events(api, call); }});
    routes.push_back({"GET", "/metrics", "metrics", "Metrics for Prometheus", Scope::read, {}, "", {200, "", "the text format 0.0.4", "text/plain"}, [&api](const Call&) {
                          return http::Answer{200, "text/plain; version=0.0.4", metrics_text(api.daemon.jobs(), api.daemon.plan(), api.daemon.counters())};
                      }});
    routes.push_back({"GET", "/openapi.json", "openapi", "This document", Scope::read, {}, "", {200, "Document", "OpenAPI 3.1"}, {}});
    auto document = std::make_shared<Json>(openapi_document(routes, api.version));
    routes.back().handler = [document](const Call&) { return json_answer(*document); };
}

std::vector<Route> api_routes(Api& api) {
    std::vector<Route> routes;
    add_job_routes(routes, api);
    add_plan_routes(routes, api);
    add_volume_routes(routes, api);
    add_carbon_routes(routes, api);
    add_cost_routes(routes, api);
    add_service_routes(routes, api);
    return routes;
}

}  // namespace hyper::hyperd
