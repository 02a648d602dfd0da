// SPDX-License-Identifier: Apache-2.0
// Prints where a disk has data and where holes, as it is found: a map can be long.
#pragma once

#include <cstdint>
#include <string>

#include "blockengine/source.h"

namespace hyper::ctl {

// Bound to one thread. Prints its head when it is made.
class ExtentList {
  public:
    // The JSON is of the shape of qemu-img map's.
    explicit ExtentList(bool json);
    void add(const Extent& extent);
    // `what`: of what the extents are all, "2 GiB".
    void end(const std::string& what);

  private:
    const bool json_;
    bool first_ = true;
    uint64_t data_bytes_ = 0;
};

}  // namespace hyper::ctl
