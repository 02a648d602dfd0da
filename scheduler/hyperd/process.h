// SPDX-License-Identifier: Apache-2.0
// One program, run to its end, in a process group of its own.
//
// Between us and the program stands its keeper, a copy of us that does nothing but wait. It is the parent of whoever below it loses its own
// (PR_SET_CHILD_SUBREAPER). To stop the program, its whole group is asked (SIGTERM) and then killed, and with it all that is below the keeper, in whatever
// group or session. The same happens, without asking, when the thread that started it goes, however we end (PR_SET_PDEATHSIG). Of a program that
// ends by itself only the group is ended: a daemon that it left behind is meant to stay.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "blockengine/base/result.h"
#include "blockengine/base/unique_fd.h"

namespace hyper::hyperd {

struct ProcessEnd {
    int exit_code = -1;  // -1: a signal ended it
    int signal = 0;
    bool stopped = false;    // because stop() was called
    bool timed_out = false;
    std::string output;      // of standard output, output_bytes_max at most
};

class Process {
  public:
    static constexpr size_t output_bytes_max = 1 << 20, line_bytes_max = 8 << 10;
    static constexpr std::chrono::seconds stop_limit{10};  // from asking to killing

    using Environment = std::vector<std::pair<std::string, std::string>>;
    using Line = std::function<void(std::string_view)>;

    // What its standard input is: at its end, or the lines that tell() is given.
    enum class Input { none, told };
    static Result<std::unique_ptr<Process>> make(Input input = Input::none);

    // Runs argv[0], a path, without a shell; our environment and `more`. Every line of standard error goes to `line`. No time limit where that is 0. Called
    // once, by a thread that lives as long. Errors: what making the process gave.
    Result<ProcessEnd> run(const std::vector<std::string>& argv, const Environment& more, std::chrono::seconds limit, const Line& line);
    // From any thread, also before run(), which then starts nothing.
    void stop();
    // A line for Input::told: from any thread, also before run(). It is not waited for: what does not fit beside what is unread is lost, which is logged.
    void tell(std::string line);

  private:
    Process(UniqueFd stop, UniqueFd input, UniqueFd told) : stop_(std::move(stop)), input_(std::move(input)), told_(std::move(told)) {}
    const UniqueFd stop_;  // an eventfd
    UniqueFd input_;       // its end of a socket, until it has begun; none for Input::none
    const UniqueFd told_;  // ours
    std::atomic<bool> stop_asked_{false};
};

}  // namespace hyper::hyperd
