// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

extern char** environ;

namespace hyper::provider::libvirt {
namespace {

std::string text_in(int fd) {
    char text[600];
    ssize_t count = pread(fd, text, sizeof text, 0);
    std::string said(text, count > 0 ? static_cast<size_t>(count) : 0);
    while (!said.empty() && said.back() == '\n') said.pop_back();
    std::replace(said.begin(), said.end(), '\n', ' ');
    return said;
}

}  // namespace

Outcome<Child> Child::start(const std::vector<std::string>& command) {
    UniqueFd said(memfd_create("said", MFD_CLOEXEC));
    std::vector<char*> arguments;
    for (const std::string& argument : command) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);

    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDWR, 0);
    posix_spawn_file_actions_adddup2(&actions, 0, 1);
    posix_spawn_file_actions_adddup2(&actions, said.get(), 2);
    posix_spawnattr_t attributes;
    posix_spawnattr_init(&attributes);
    // Neither what the host's thread blocks, nor a Ctrl-C for the host, is meant for it.
    sigset_t none;
    sigemptyset(&none);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setpgroup(&attributes, 0);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETPGROUP);
    pid_t pid = -1;
    int error = posix_spawnp(&pid, arguments[0], &actions, &attributes, arguments.data(), environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    if (error != 0) return failed(HYPER_FATAL, "libvirt: start " + command[0] + ": " + strerror(error) + " (is qemu-utils installed?)");
    return Child(pid, std::move(said));
}

Child& Child::operator=(Child&& other) noexcept {
    kill();
    pid_ = std::exchange(other.pid_, -1);
    status_ = other.status_;
    said_ = std::move(other.said_);
    return *this;
}

bool Child::has_ended() {
    if (pid_ > 0 && waitpid(pid_, &status_, WNOHANG) == pid_) pid_ = -1;
    return pid_ < 0;
}

void Child::kill() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGKILL);
    wait();
}

Ended Child::wait() {
    while (pid_ > 0 && waitpid(pid_, &status_, 0) == -1 && errno == EINTR) continue;
    pid_ = -1;
    return {status_, text_in(said_.get())};
}

Outcome<Ended> run(const std::vector<std::string>& command) {
    auto child = Child::start(command);
    if (!child) return tl::unexpected(child.error());
    return child->wait();
}

std::vector<pid_t> processes_with(const std::string& program, const std::string& argument) {
    std::vector<pid_t> found;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator("/proc", error)) {
        pid_t pid = static_cast<pid_t>(strtol(entry.path().filename().c_str(), nullptr, 10));
        if (pid <= 0) continue;
        std::ifstream file(entry.path() / "cmdline", std::ios::binary);
        std::string line{std::istreambuf_iterator<char>(file), {}};
        // Its arguments, each with a zero byte at its end.
        bool is_program = std::filesystem::path(line.c_str()).filename() == program;
        if (is_program && line.find('\0' + argument + '\0') != line.npos) found.push_back(pid);
    }
    return found;
}

Outcome<void> end_processes_with(const std::string& program, const std::string& argument) {
    for (pid_t pid : processes_with(program, argument)) {
        // The number may have become another's since it was looked up, but not while this is held.
        UniqueFd held(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
        auto still = processes_with(program, argument);
        if (!held || std::find(still.begin(), still.end(), pid) == still.end()) continue;
        if (syscall(SYS_pidfd_send_signal, held.get(), SIGKILL, nullptr, 0) != 0 && errno != ESRCH)
            return failed(errno == EPERM ? HYPER_NOT_ALLOWED : HYPER_FATAL,
                          "libvirt: end process " + std::to_string(pid) + " (" + program + "): " + strerror(errno));
        pollfd ends{held.get(), POLLIN, 0};
        poll(&ends, 1, 5000);
    }
    return {};
}

}  // namespace hyper::provider::libvirt
