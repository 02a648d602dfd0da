// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/extent_list.h"

#include <fmt/format.h>

#include <cstdio>

#include "tools/hyperctl/table.h"

namespace hyper::ctl {

ExtentList::ExtentList(bool json) : json_(json) {
    if (json_)
        fmt::print("[");
    else
        fmt::print("{:>16}  {:>16}  KIND\n", "OFFSET", "LENGTH");
}

void ExtentList::add(const Extent& extent) {
    if (!extent.zero) data_bytes_ += extent.length;
    if (json_)
        fmt::print("{}{{ \"start\": {}, \"length\": {}, \"present\": {}, \"zero\": {}, \"data\": {}}}", first_ ? "" : ",\n",
                   extent.offset, extent.length, !extent.zero, extent.zero, !extent.zero);
    else
        fmt::print("{:>16}  {:>16}  {}\n", extent.offset, extent.length, extent.zero ? "zero" : "data");
    first_ = false;
}

void ExtentList::end(const std::string& what) {
    if (json_)
        fmt::print("]\n");
    else
        fmt::print("{} of {} are data\n", human_bytes(data_bytes_), what);
}

}  // namespace hyper::ctl
