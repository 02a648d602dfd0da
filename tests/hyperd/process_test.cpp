// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/process.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <thread>

namespace hyper::hyperd {

namespace {

class ProcessTest : public testing::Test {
  protected:
    ProcessEnd run(const std::string& script, std::chrono::seconds limit = std::chrono::seconds(0)) {
        auto end = process->run({"/bin/sh", "-c", script}, {{"GIVEN", "value"}}, limit, [&](std::string_view line) {
            lines.emplace_back(line);
            if (on_line) on_line();
        });
        EXPECT_TRUE(end) << end.error().message;
        return end ? *end : ProcessEnd();
    }
    // The process that said its number on a line is no more, or a zombie that nobody here has to wait for.
    static bool is_gone(const std::string& pid) {
        std::ifstream status("/proc/" + pid + "/stat");
        std::string number, name, state;
        return !(status >> number >> name >> state) || state == "Z";
    }

    // Another process runs the script, and is killed; whether that one goes whose number is the first line.
    static bool goes_with_whom_it_was_begun_by(const std::string& script) {
        int ends[2];
        EXPECT_EQ(::pipe(ends), 0);
        pid_t middle = ::fork();
        if (middle == 0) {
            auto inner = *Process::make();
            (void)inner->run({"/bin/sh", "-c", script}, {}, std::chrono::seconds(0), [&](std::string_view line) {
                ssize_t ignored = ::write(ends[1], line.data(), line.size());
                (void)ignored;
                ::kill(::getpid(), SIGKILL);
            });
            ::_exit(0);
        }
        ::close(ends[1]);
        char text[32] = {};
        EXPECT_GT(::read(ends[0], text, sizeof text - 1), 0);
        ::close(ends[0]);
        int status = 0;
        ::waitpid(middle, &status, 0);
        for (int i = 0; i < 500 && !is_gone(text); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
        return is_gone(text);
    }

    std::unique_ptr<Process> process = *Process::make();
    std::vector<std::string> lines;
    std::function<void()> on_line;
};

TEST_F(ProcessTest, gives_output_lines_and_exit_code) {
    auto end = run("echo out; echo one >&2; printf 'two\\rthree' >&2; exit 3");
    EXPECT_EQ(end.exit_code, 3);
    EXPECT_EQ(end.output, "out\n");
    EXPECT_EQ(lines, (std::vector<std::string>{"one", "two", "three"}));
}

TEST_F(ProcessTest, adds_to_the_environment) { EXPECT_EQ(run("echo $GIVEN").output, "value\n"); }

TEST_F(ProcessTest, a_program_that_is_not_there_ends_with_127) {
    auto end = process->run({"/nonexistent/program"}, {}, std::chrono::seconds(0), [](std::string_view) {});
    ASSERT_TRUE(end);
    EXPECT_EQ(end->exit_code, 127);
}

TEST_F(ProcessTest, output_is_bounded) {
    EXPECT_EQ(run("head -c 3000000 /dev/zero").output.size(), Process::output_bytes_max);
}

TEST_F(ProcessTest, stop_ends_it_and_everything_that_it_started) {
    on_line = [&] { process->stop(); };
    auto end = run("sleep 1000 & echo $! >&2; wait");
    EXPECT_TRUE(end.stopped);
    EXPECT_EQ(end.signal, SIGTERM);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(is_gone(lines[0]));
}

TEST_F(ProcessTest, a_straggler_does_not_outlive_its_leader) {
    auto end = run("sleep 1000 >/dev/null 2>&1 & echo $! >&2");
    EXPECT_EQ(end.exit_code, 0);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(is_gone(lines[0]));
}

// setsid takes it out of its group, and the shell that began it is gone.
constexpr const char* leaves_its_group = "(setsid sh -c 'trap \"\" TERM; echo $$ >&2; exec sleep 1000' >/dev/null &); ";

TEST_F(ProcessTest, a_time_limit_ends_also_what_left_its_group) {
    auto end = run(std::string(leaves_its_group) + "exec sleep 1000", std::chrono::seconds(1));
    EXPECT_TRUE(end.timed_out);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_TRUE(is_gone(lines[0]));
}

// As `qemu-nbd --fork` in a hook before a sync, which the hook after it ends.
TEST_F(ProcessTest, what_left_its_group_may_stay_when_it_ends_by_itself) {
    auto end = run(std::string(leaves_its_group) + "sleep 0.3");
    EXPECT_EQ(end.exit_code, 0);
    ASSERT_EQ(lines.size(), 1u);
    EXPECT_FALSE(is_gone(lines[0]));
    ::kill(std::stoi(lines[0]), SIGKILL);
}

TEST_F(ProcessTest, what_was_stopped_before_is_not_begun) {
    process->stop();
    auto end = run("echo out");
    EXPECT_TRUE(end.stopped);
    EXPECT_EQ(end.output, "");
}

TEST_F(ProcessTest, a_time_limit_ends_it) {
    auto end = run("exec sleep 1000", std::chrono::seconds(1));
    EXPECT_TRUE(end.timed_out);
    EXPECT_EQ(end.signal, SIGTERM);
}

TEST_F(ProcessTest, it_runs_in_a_group_of_its_own) {
    auto end = run("ps -o pgid= -p $$ 2>/dev/null || cut -d' ' -f5 /proc/$$/stat");
    EXPECT_NE(std::stoi(end.output), ::getpgrp());
}

TEST_F(ProcessTest, it_ends_with_the_thread_that_began_it) { EXPECT_TRUE(goes_with_whom_it_was_begun_by("echo $$ >&2; exec sleep 1000")); }

TEST_F(ProcessTest, what_left_its_group_ends_with_the_thread_that_began_it) {
    EXPECT_TRUE(goes_with_whom_it_was_begun_by(std::string(leaves_its_group) + "exec sleep 1000"));
}

}  // namespace

}  // namespace hyper::hyperd
