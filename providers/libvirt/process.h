// SPDX-License-Identifier: Apache-2.0
// QEMU's tools as processes.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "blockengine/base/unique_fd.h"
#include "providers/provider.h"

namespace hyper::provider::libvirt {

struct Ended {
    int status = 0;    // 0: well
    std::string said;  // on its standard error, one line
};
// Runs a program to its end.
Outcome<Ended> run(const std::vector<std::string>& command);

// A program that runs on. Ended with its owner. Bound to one thread at a time.
class Child {
  public:
    static Outcome<Child> start(const std::vector<std::string>& command);
    Child(Child&& other) noexcept : pid_(std::exchange(other.pid_, -1)), said_(std::move(other.said_)) {}
    Child& operator=(Child&& other) noexcept;
    ~Child() { kill(); }

    bool has_ended();
    void kill();
    Ended wait();

  private:
    Child(pid_t pid, UniqueFd said) : pid_(pid), said_(std::move(said)) {}

    pid_t pid_ = -1;
    int status_ = 0;
    UniqueFd said_;
};

// Processes of a program that have an argument, whoever started them.
std::vector<pid_t> processes_with(const std::string& program, const std::string& argument);
// Ends them, and returns when they have.
Outcome<void> end_processes_with(const std::string& program, const std::string& argument);

}  // namespace hyper::provider::libvirt
