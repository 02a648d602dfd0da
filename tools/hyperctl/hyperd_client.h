// SPDX-License-Identifier: Apache-2.0
// How commands ask a running hyperd.
#pragma once

#include <functional>
#include <string>

#include "http/message.h"
#include "tools/hyperctl/command.h"

namespace hyper::ctl {

// Bound to one command.
class HyperdClient {
  public:
    // Adds --socket and --root.
    void add_to(CLI::App& command);

    // The object that hyperd answers. Errors: ECONNREFUSED where it does not run; what it says is wrong, ENOENT for 404 and EINVAL else.
    Result<Json> ask(const std::string& method, const std::string& target, const std::string& body = "") const;
    // Events as they come, until `take` says false, or hyperd ends.
    Result<void> follow(const std::function<bool(const Json&)>& take) const;

  private:
    std::string socket() const;
    std::string socket_, root_;
};

}  // namespace hyper::ctl
