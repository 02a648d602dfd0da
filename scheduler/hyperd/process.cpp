// SPDX-License-Identifier: Apache-2.0
#include "scheduler/hyperd/process.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>

#include "blockengine/base/log.h"

extern char** environ;

namespace hyper::hyperd {

namespace {

using Clock = std::chrono::steady_clock;

// Of 16 KiB: what its pipes can hold when it has ended, and some.
constexpr int rounds_after_end_max = 64;

struct Pipe {
    UniqueFd read, write;
};
Result<Pipe> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return fail(errno, "make a pipe: {}", errno_text(errno));
    return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

std::vector<char*> pointers(std::vector<std::string>& texts) {
    std::vector<char*> list;
    for (std::string& text : texts) list.push_back(text.data());
    list.push_back(nullptr);
    return list;
}

std::vector<std::string> environment_with(const Process::Environment& more) {
    std::vector<std::string> texts;
    for (char** at = environ; *at != nullptr; ++at) {
        std::string_view text = *at;
        bool replaced = text.starts_with("NOTIFY_SOCKET=") || text.starts_with("LISTEN_") ||
                        std::ranges::any_of(more, [&](const auto& pair) { return text.starts_with(pair.first + "="); });
        if (!replaced) texts.emplace_back(text);
    }
    for (const auto& [name, value] : more) texts.push_back(name + "=" + value);
    return texts;
}

// What follows runs between fork and exec, or instead of it, in a copy of a program with threads: nothing there may allocate or lock.

// What hyperd asks the keeper for, and the kernel when hyperd is gone.
constexpr int ask_signal = SIGTERM, kill_signal = SIGUSR1;

[[noreturn]] void become(char* const* argv, char* const* environment, pid_t parent) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::getppid() != parent) ::_exit(127);
    sigset_t none;
    ::sigemptyset(&none);
    ::sigprocmask(SIG_SETMASK, &none, nullptr);
    ::signal(SIGPIPE, SIG_DFL);
    ::execve(argv[0], argv, environment);
    int code = errno;
    constexpr std::string_view text = "hyperd: it cannot be executed\n";
    ssize_t ignored = ::write(2, text.data(), text.size());
    (void)ignored;
    ::_exit(code == ENOENT ? 127 : 126);
}

void kill_children() {
    char text[4096];
    int file = ::open("/proc/thread-self/children", O_RDONLY | O_CLOEXEC);
    ssize_t got = file < 0 ? 0 : ::read(file, text, sizeof text);
    ::close(file);
    pid_t child = 0;
    for (ssize_t i = 0; i < got; ++i) {
        if (text[i] >= '0' && text[i] <= '9') {
            child = child * 10 + (text[i] - '0');
            continue;
        }
        if (child > 0) ::kill(child, SIGKILL);
        child = 0;
    }
}

// Of the group, or of all that is below us: who loses its parent becomes our child. What cannot be killed (it waits for a disk) is waited for, but
// not for ever.
void end_the_rest(pid_t group, bool all) {
    for (int i = 0; i < 500; ++i) {
        bool left = ::kill(-group, SIGKILL) == 0;
        if (all) kill_children();
        pid_t ended = 0;
        while ((ended = ::waitpid(-1, nullptr, WNOHANG)) > 0) {
        }
        if (all ? ended < 0 : !left) return;
        ::poll(nullptr, 0, 10);
    }
    constexpr std::string_view text = "hyperd: some of what it started does not end\n";
    ssize_t ignored = ::write(2, text.data(), text.size());
    (void)ignored;
}

// The program's keeper; see process.h. All signals are blocked when it begins.
[[noreturn]] void keep(char* const* argv, char* const* environment, int in, int out, int error, pid_t parent) {
    ::setpgid(0, 0);
    ::prctl(PR_SET_CHILD_SUBREAPER, 1);
    ::prctl(PR_SET_PDEATHSIG, kill_signal);
    if (::getppid() != parent) ::_exit(127);
    if (in < 0) in = ::open("/dev/null", O_RDONLY);
    if (in < 0 || ::dup2(in, 0) < 0 || ::dup2(out, 1) < 0 || ::dup2(error, 2) < 0) ::_exit(127);
    ::close_range(3, ~0U, 0);
    ::signal(SIGCHLD, SIG_DFL);
    pid_t self = ::getpid(), program = ::_Fork();
    if (program < 0) ::_exit(126);
    if (program == 0) become(argv, environment, self);
    ::setpgid(program, program);  // also here: whoever is first
    ::close(0);
    ::close(1);
    sigset_t awaited;
    ::sigemptyset(&awaited);
    for (int number : {SIGCHLD, ask_signal, kill_signal}) ::sigaddset(&awaited, number);
    bool asked = false, ended = false;
    int status = 0;
    while (!ended) {
        int number = ::sigwaitinfo(&awaited, nullptr);
        asked = asked || number == ask_signal || number == kill_signal;
        if (number == ask_signal) ::kill(-program, SIGTERM);
        if (number == kill_signal) ::kill(-program, SIGKILL);
        int of_one = 0;
        for (pid_t one = 0; (one = ::waitpid(-1, &of_one, WNOHANG)) > 0;)
            if (one == program) ended = true, status = of_one;
    }
    end_the_rest(program, asked);
    // It ends as the program did, for whoever waits.
    if (WIFSIGNALED(status)) {
        ::prctl(PR_SET_DUMPABLE, 0);
        ::signal(WTERMSIG(status), SIG_DFL);
        sigset_t none;
        ::sigemptyset(&none);
        ::kill(self, WTERMSIG(status));
        ::sigprocmask(SIG_SETMASK, &none, nullptr);
    }
    ::_exit(WEXITSTATUS(status));
}

// With all signals blocked from the first moment, so that the keeper is not ended by what it is to hand on.
pid_t fork_keeper(char* const* argv, char* const* environment, int in, int out, int error) {
    sigset_t all, before;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before);
    pid_t self = ::getpid(), child = ::fork();
    if (child == 0) keep(argv, environment, in, out, error, self);
    int code = errno;
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    errno = code;
    return child;
}

// Takes standard error apart into lines.
class Lines {
  public:
    explicit Lines(const Process::Line& line) : line_(line) {}
    void add(std::string_view bytes) {
        for (char c : bytes) {
            if (c != '\n' && c != '\r' && text_.size() < Process::line_bytes_max) {
                text_ += c;
                continue;
            }
            end();
            if (c != '\n' && c != '\r') text_ += c;
        }
    }
    void end() {
        if (!text_.empty()) line_(text_);
        text_.clear();
    }

  private:
    const Process::Line& line_;
    std::string text_;
};

int ms_until(Clock::time_point when) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(when - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 60'000));
}

}  // namespace

Result<std::unique_ptr<Process>> Process::make(Input input) {
    UniqueFd stop(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stop) return fail(errno, "make an eventfd: {}", errno_text(errno));
    int fds[2] = {-1, -1};
    if (input == Input::told && ::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0) return fail(errno, "make a pair of sockets: {}", errno_text(errno));
    return std::unique_ptr<Process>(new Process(std::move(stop), UniqueFd(fds[0]), UniqueFd(fds[1])));
}

void Process::tell(std::string line) {
    line += '\n';
    // That it has ended is no fault.
    if (::send(told_.get(), line.data(), line.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno != EPIPE && errno != ECONNRESET)
        log_warning("tell a program that runs: {}", errno_text(errno));
}

void Process::stop() {
    stop_asked_ = true;
    ::eventfd_write(stop_.get(), 1);
}

Result<ProcessEnd> Process::run(const std::vector<std::string>& argv, const Environment& more, std::chrono::seconds limit, const Line& line) {
    ProcessEnd end;
    end.stopped = stop_asked_;
    if (end.stopped) return end;
    std::vector<std::string> arguments = argv, environment = environment_with(more);
    std::vector<char*> argument_list = pointers(arguments), environment_list = pointers(environment);
    Pipe out = TRY(make_pipe()), error = TRY(make_pipe());
    pid_t keeper = fork_keeper(argument_list.data(), environment_list.data(), input_.get(), out.write.get(), error.write.get());
    if (keeper < 0) return fail(errno, "{}: start it: {}", argv[0], errno_text(errno));
    input_.reset();
    out.write.reset();
    error.write.reset();
    UniqueFd gone(static_cast<int>(::syscall(SYS_pidfd_open, keeper, 0)));
    if (!gone) {
        int code = errno;
        ::kill(keeper, kill_signal);
        ::waitpid(keeper, nullptr, 0);
        return fail(code, "{}: watch it: {}", argv[0], errno_text(code));
    }

    Lines lines(line);
    std::array<char, 16 << 10> buffer{};
    bool asked = false, killed = false;
    Clock::time_point ask_at = limit.count() > 0 ? Clock::now() + limit : Clock::time_point::max(), kill_at = Clock::time_point::max();
    auto ask = [&] {
        asked = true;
        ::kill(keeper, ask_signal);
        kill_at = Clock::now() + stop_limit;
    };
    auto drain = [&](UniqueFd& fd, bool standard_output) {
        ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
        if (got <= 0) {
            fd.reset();
            return;
        }
        std::string_view bytes(buffer.data(), static_cast<size_t>(got));
        if (standard_output)
            end.output.append(bytes.substr(0, output_bytes_max - std::min(output_bytes_max, end.output.size())));
        else
            lines.add(bytes);
    };
    // Its end counts, not that of its pipes, which somebody who may stay holds, and fills.
    for (int rounds_after_end = 0; rounds_after_end < rounds_after_end_max;) {
        pollfd fds[] = {{gone.get(), POLLIN, 0}, {out.read.get(), POLLIN, 0}, {error.read.get(), POLLIN, 0}, {asked ? -1 : stop_.get(), POLLIN, 0}};
        int ms = std::min(asked ? 60'000 : ask_at == Clock::time_point::max() ? 60'000 : ms_until(ask_at), asked && !killed ? ms_until(kill_at) : 60'000);
        if (::poll(fds, 4, ms) < 0 && errno != EINTR) break;
        if (fds[1].revents != 0) drain(out.read, true);
        if (fds[2].revents != 0) drain(error.read, false);
        if (fds[0].revents != 0 && fds[1].revents == 0 && fds[2].revents == 0) break;
        if (fds[0].revents != 0) ++rounds_after_end;
        if (!asked && stop_asked_) {
            end.stopped = true;
            ask();
        }
        if (!asked && Clock::now() >= ask_at) {
            end.timed_out = true;
            ask();
        }
        if (asked && !killed && Clock::now() >= kill_at) {
            killed = true;
            ::kill(keeper, kill_signal);
        }
    }
    int status = 0;
    while (::waitpid(keeper, &status, 0) < 0 && errno == EINTR) {
    }
    lines.end();
    if (WIFEXITED(status)) end.exit_code = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    return end;
}

}  // namespace hyper::hyperd
