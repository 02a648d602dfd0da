// SPDX-License-Identifier: Apache-2.0
// A folder for one test, gone with it.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

namespace hyper::carbon {

class Scratch {
  public:
    Scratch() {
        std::string name = testing::TempDir() + "hyper-feeds-XXXXXX";
        if (mkdtemp(name.data()) == nullptr) std::abort();
        path_ = name;
    }
    ~Scratch() { std::filesystem::remove_all(path_); }

    std::string path(const std::string& name) const { return path_ + "/" + name; }
    // With a mode that a secret needs.
    std::string secret(const std::string& name, const std::string& text) const {
        std::ofstream(path(name)) << text;
        std::filesystem::permissions(path(name), std::filesystem::perms(0600));
        return path(name);
    }

  private:
    std::string path_;
};

}  // namespace hyper::carbon
