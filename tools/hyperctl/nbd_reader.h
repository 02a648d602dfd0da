// SPDX-License-Identifier: Apache-2.0
// The disk behind an NBD URI, for reading.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "blockengine/source.h"

namespace hyper::ctl {

// Whether it begins as one: nbd://, nbds://, nbd+unix://, ...
bool is_nbd_uri(std::string_view name);

// Thread-safe. map() tells what is zero for sure, where the server tells (base:allocation), else
// all is data; produce() reads the disk at an offset, and asks nothing else. All callers' requests
// are in flight together on one connection; nothing is held in memory but their buffers and one
// answer about extents. Once the connection broke, or a signal came, all requests fail.
class NbdDisk : public Source, public Producer {
  public:
    // Errors: those of connecting, in libnbd's words. Certificates and keys come with the URI.
    static Result<std::shared_ptr<const NbdDisk>> open(const std::string& uri);
};

}  // namespace hyper::ctl
