// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/webhooks.h"

#include <gtest/gtest.h>

#include "scheduler/hyperd/events.h"

namespace hyper::hyperd {

namespace {

TEST(Webhooks, the_signature_is_an_hmac_over_time_and_body) {
    // printf '1764000000.{"id":1}' | openssl dgst -sha256 -hmac key
    EXPECT_EQ(webhook_signature("key", 1764000000, "{\"id\":1}"), "sha256=e5c8e8903b10aa326df3f71246b4b881da62b21827cf32132227f3d947f26383");
    // printf '1764000000.{"id":1}' | openssl dgst -sha256 -hmac "$(printf 'k%.0s' $(seq 100))"
    EXPECT_EQ(webhook_signature(std::string(100, 'k'), 1764000000, "{\"id\":1}"), "sha256=efe22fd28f3140e53873f76034899b9e977172ad850f05c9daf6613b5a3121d8");
}

TEST(Webhooks, waits_longer_after_each_try_and_an_hour_at_most) {
    EXPECT_EQ(webhook_delay(1), Seconds(1));
    EXPECT_EQ(webhook_delay(2), Seconds(2));
    EXPECT_EQ(webhook_delay(5), Seconds(16));
    EXPECT_EQ(webhook_delay(13), Seconds(3600));
    EXPECT_EQ(webhook_delay(4'000'000'000), Seconds(3600));
}

TEST(Webhooks, a_pattern_names_kinds_of_events) {
    EXPECT_TRUE(wants({}, "run.failed"));
    EXPECT_TRUE(wants({"run.*"}, "run.failed"));
    EXPECT_TRUE(wants({"rpo.missed", "run.failed"}, "run.failed"));
    EXPECT_FALSE(wants({"run"}, "run.failed"));
    EXPECT_FALSE(wants({"rpo.*"}, "run.failed"));
}

}  // namespace

}  // namespace hyper::hyperd
