// SPDX-License-Identifier: Apache-2.0
// A process that writes its state is killed again and again: whatever it was told to be durable is there, whole.
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <random>

#include "scheduler/state/store.h"

namespace hyper::scheduler {
namespace {

// Number n: a state, a run, a decision and an event that all hold it, and a job of that name.
Change change_of(uint64_t n) {
    Change change;
    std::string text = std::to_string(n);
    JobState& state = change.states.emplace_back();
    state.job = "db", state.asked = n;
    RunRow& run = change.runs.emplace_back();
    run.job = "db", run.period = text;
    DecisionRow& decision = change.decisions.emplace_back();
    decision.job = "db", decision.period = text, decision.explanation = std::string(n % 5000, 'x');
    change.events.push_back({0, Instant(Seconds(n)), "run.started", "db", text});
    change.put_jobs.push_back({"job" + text, "{}", Instant()});
    return change;
}

// Writes changes from the one after `last` on, and each number into the pipe once it is durable.
[[noreturn]] void write_for_ever(const std::string& folder, uint64_t last, int pipe) {
    auto store = Store::open(folder, Access::write);
    if (!store) _exit(1);
    for (uint64_t n = last + 1;; n++) {
        if (!store->commit(change_of(n))) _exit(2);
        if (::write(pipe, &n, sizeof n) != sizeof n) _exit(3);
    }
}

uint64_t last_of(const std::string& folder) {
    auto store = Store::open(folder, Access::write);
    EXPECT_TRUE(store) << store.error().message;
    auto states = *store->states();
    uint64_t n = states.contains("db") ? states.at("db").asked : 0;
    EXPECT_EQ(store->runs("db", 1'000'000)->size(), n);
    EXPECT_EQ(store->events_after(0, 1'000'000)->size(), n);
    EXPECT_EQ(store->decisions("db", 1'000'000)->size(), n);
    EXPECT_EQ(store->jobs()->size(), n);
    return n;
}

TEST(StoreKill, loses_nothing_that_was_acknowledged_in_a_hundred_kills) {
    std::string name = "/tmp/hyper-kill-XXXXXX", folder = std::string(mkdtemp(name.data())) + "/state";
    std::mt19937_64 random(7);
    uint64_t last = 0, killed_while_it_wrote = 0;
    for (int kill_count = 0; kill_count < 100; kill_count++) {
        int pipes[2];
        ASSERT_EQ(pipe(pipes), 0);
        pid_t child = fork();
        ASSERT_GE(child, 0);
        if (child == 0) {
            close(pipes[0]);
            write_for_ever(folder, last, pipes[1]);
        }
        close(pipes[1]);
        // After so many acknowledgements, and a moment more, so that it falls into any part of a transaction.
        uint64_t acknowledged = last, wanted = last + random() % 6;
        while (acknowledged < wanted)
            if (::read(pipes[0], &acknowledged, sizeof acknowledged) != sizeof acknowledged) FAIL() << "the child ended by itself";
        usleep(static_cast<useconds_t>(random() % 3000));
        kill(child, SIGKILL);
        int status = 0;
        waitpid(child, &status, 0);
        EXPECT_TRUE(WIFSIGNALED(status)) << "it ended by itself, with " << WEXITSTATUS(status);
        for (uint64_t n; ::read(pipes[0], &n, sizeof n) == sizeof n;) acknowledged = n;
        close(pipes[0]);
        last = last_of(folder);
        ASSERT_GE(last, acknowledged);
        ASSERT_LE(last, acknowledged + 1) << "what it was not told may be there, whole";
        killed_while_it_wrote += last > 0;
    }
    EXPECT_GT(killed_while_it_wrote, 90u);
    std::filesystem::remove_all(std::filesystem::path(folder).parent_path());
}

}  // namespace
}  // namespace hyper::scheduler
