// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/workers.h"

#include <gtest/gtest.h>

#include <future>
#include <memory>
#include <string>

namespace hyper::nbd {
namespace {

TEST(Workers, clients_take_turns) {
    std::string order;
    std::promise<void> start, end;
    int a, b, c;
    Workers workers(1);
    // The only thread waits here until everything is queued.
    workers.submit(&c, [&] { start.get_future().wait(); });
    for (int i = 0; i < 3; ++i) workers.submit(&a, [&] { order += 'a'; });
    workers.submit(&b, [&] { order += 'b'; });
    workers.submit(&b, [&] { order += 'b'; });
    workers.submit(&a, [&] { end.set_value(); });
    start.set_value();
    end.get_future().wait();
    EXPECT_EQ(order, "ababa");
}

TEST(Workers, work_of_one_client_runs_on_half_of_the_threads_at_once) {
    std::promise<void> first, second, both, third, done;
    std::shared_future<void> go(third.get_future());
    int a, b;
    Workers workers(4);  // ends before what its work refers to
    // Each waits for the other.
    workers.submit(&a, [&] {
        first.set_value();
        second.get_future().wait();
        both.set_value();
    });
    workers.submit(&a, [&] {
        first.get_future().wait();
        second.set_value();
    });
    both.get_future().wait();

    // Two of a wait for b, which has a thread left although more of a is queued.
    for (int i = 0; i < 4; ++i) workers.submit(&a, [&, i] {
            go.wait();
            if (i == 3) done.set_value();
        });
    workers.submit(&b, [&] { third.set_value(); });
    done.get_future().wait();
}

TEST(Workers, end_though_there_is_always_something_queued) {
    struct Endless {
        Workers& workers;
        void operator()(const std::shared_ptr<int>& held) const {
            workers.submit(this, [this, held] { (*this)(held); });
        }
    };
    auto held = std::make_shared<int>();
    {
        Workers workers(2);
        Endless endless{workers};
        endless(held);
        endless(held);
    }
    EXPECT_EQ(held.use_count(), 1);
}

TEST(Workers, wait_at_the_end_for_what_is_running) {
    std::promise<void> started;
    bool ran = false;
    {
        int a;
        Workers workers(1);
        workers.submit(&a, [&] {
            started.set_value();
            ran = true;
        });
        started.get_future().wait();
    }
    EXPECT_TRUE(ran);
}

}  // namespace
}  // namespace hyper::nbd
