// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/registry.h"

#include <gtest/gtest.h>

#include <thread>

#include "nbdserver/watch/prometheus.h"

namespace hyper::watch {
namespace {

ClientInfo client_of(const std::string& export_name) {
    return {"unix uid 0", "root", export_name, false, true};
}
void ignore() {}

TEST(RegistryTest, a_client_is_listed_until_its_handle_goes) {
    Registry registry;
    auto first = registry.add_client(client_of("web01"), ignore);
    {
        auto second = registry.add_client(client_of("web02"), ignore);
        second->set_bytes_in_flight(4096);
        std::vector<ClientSnapshot> clients = registry.clients();
        ASSERT_EQ(clients.size(), 2u);
        EXPECT_EQ(clients[0].id, first->id());
        EXPECT_EQ(clients[1].info.export_name, "web02");
        EXPECT_EQ(clients[1].bytes_in_flight, 4096u);
    }
    ASSERT_EQ(registry.clients().size(), 1u);
    EXPECT_EQ(registry.clients_since_start(), 2u);
}

TEST(RegistryTest, the_counts_of_an_export_stay_when_its_clients_go) {
    Registry registry;
    for (int i = 0; i < 2; ++i) {
        auto client = registry.add_client(client_of("web01"), ignore);
        client->count(Command::read, 4096, 1'000, false);
        EXPECT_EQ(registry.clients()[0].statistics[Command::read].requests, 1u);
        EXPECT_EQ(registry.exports()[0].clients, 1u);
    }
    ASSERT_EQ(registry.exports().size(), 1u);
    EXPECT_EQ(registry.exports()[0].clients, 0u);
    EXPECT_EQ(registry.exports()[0].statistics[Command::read].requests, 2u);
}

TEST(RegistryTest, closes_one_client_or_all_of_an_export) {
    Registry registry;
    std::string closed;
    auto a = registry.add_client(client_of("web01"), [&] { closed += "a"; });
    auto b = registry.add_client(client_of("web01"), [&] { closed += "b"; });
    auto c = registry.add_client(client_of("web02"), [&] { closed += "c"; });
    EXPECT_TRUE(registry.close_client(c->id()));
    EXPECT_EQ(closed, "c");
    EXPECT_EQ(registry.close_clients_of("web01"), 2u);
    EXPECT_EQ(closed, "cab");
    EXPECT_EQ(registry.close_clients_of("web"), 0u);
}

TEST(RegistryTest, a_client_that_is_gone_cannot_be_closed) {
    Registry registry;
    bool closed = false;
    uint64_t id = registry.add_client(client_of("web01"), [&] { closed = true; })->id();
    EXPECT_FALSE(registry.close_client(id));
    EXPECT_FALSE(closed);
}

TEST(RegistryTest, no_more_exports_than_the_limit_have_counters) {
    Registry registry;
    for (size_t i = 0; i < Registry::exports_max + 10; ++i)
        registry.add_client(client_of("disk" + std::to_string(i)), ignore)
            ->count(Command::read, 1, 1, false);
    std::vector<ExportSnapshot> exports = registry.exports();
    ASSERT_EQ(exports.size(), Registry::exports_max + 1);
    EXPECT_EQ(exports[0].name, Registry::others_name);
    EXPECT_EQ(exports[0].statistics.sum().requests, 10u);
}

// For the thread sanitizer, too.
TEST(RegistryTest, clients_come_and_go_while_others_look_and_close) {
    Registry registry;
    std::atomic<bool> stop{false};
    std::atomic<uint64_t> closes{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i)
        threads.emplace_back([&, i] {
            for (int n = 0; n < 2000; ++n) {
                auto client = registry.add_client(client_of("web0" + std::to_string(i % 2)),
                                                  [&] { ++closes; });
                client->count(Command::write, 512, 1'000, false);
                client->set_bytes_in_flight(512);
            }
        });
    std::thread looker([&] {
        do {
            registry.clients();
            registry.exports();
            registry.close_clients_of("web00");
        } while (!stop);
    });
    for (std::thread& thread : threads) thread.join();
    stop = true;
    looker.join();
    uint64_t requests = 0;
    for (const ExportSnapshot& e : registry.exports()) requests += e.statistics.sum().requests;
    EXPECT_EQ(requests, 8000u);
    EXPECT_TRUE(registry.clients().empty());
}

TEST(PrometheusTest, tells_counters_histograms_and_gauges_with_units) {
    Registry registry;
    auto client = registry.add_client(client_of("web01/root"), ignore);
    client->count(Command::read, 4096, 3'000, false);
    client->count(Command::read, 4096, 1'000, true);
    client->set_bytes_in_flight(65536);
    std::string text = prometheus_text(registry);
    for (const char* line : {
             "\nhypernbd_clients 1\n",
             "\nhypernbd_clients_total 1\n",
             "\nhypernbd_in_flight_bytes 65536\n",
             "\nhypernbd_export_clients{export=\"web01/root\"} 1\n",
             "\n# TYPE hypernbd_requests_total counter\n",
             "\nhypernbd_requests_total{export=\"web01/root\",command=\"read\"} 2\n",
             "\nhypernbd_request_bytes_total{export=\"web01/root\",command=\"read\"} 4096\n",
             "\nhypernbd_request_errors_total{export=\"web01/root\",command=\"read\"} 1\n",
             "\n# TYPE hypernbd_request_seconds histogram\n",
             "\nhypernbd_request_seconds_count{export=\"web01/root\",command=\"read\"} 2\n",
             "command=\"read\",le=\"+Inf\"} 2\n",
         })
        EXPECT_NE(("\n" + text).find(line), std::string::npos) << line << text;
    EXPECT_EQ(text.find("command=\"write\""), std::string::npos);
}

TEST(PrometheusTest, labels_are_bounded_and_nothing_is_lost) {
    Registry registry;
    for (size_t i = 0; i < labelled_exports_max + 50; ++i)
        registry.add_client(client_of("disk" + std::to_string(i)), ignore)
            ->count(Command::read, 1, 1, false);
    std::string text = prometheus_text(registry);
    size_t lines = 0;
    for (size_t at = 0; (at = text.find("\nhypernbd_requests_total{", at)) != std::string::npos;
         ++at)
        ++lines;
    EXPECT_EQ(lines, labelled_exports_max + 1);
    EXPECT_NE(text.find("hypernbd_requests_total{export=\"(others)\",command=\"read\"} 50\n"),
              std::string::npos);
    EXPECT_NE(text.find("hypernbd_requests_total{export=\"disk199\",command=\"read\"} 1\n"),
              std::string::npos);
}

TEST(PrometheusTest, a_name_cannot_break_out_of_its_label) {
    Registry registry;
    auto client = registry.add_client(client_of("a\"} 1\nb\\\xff"), ignore);
    EXPECT_NE(
        prometheus_text(registry).find("hypernbd_export_clients{export=\"a\\\"} 1\\nb\\\\?\"} 1\n"),
        std::string::npos)
        << prometheus_text(registry);
}

}  // namespace
}  // namespace hyper::watch
