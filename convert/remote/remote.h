// SPDX-License-Identifier: Apache-2.0
// Disks and images of providers: nbd://..., s3://..., libvirt://...
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "convert/image.h"

namespace hyper {

// Whether a name is a provider's, rather than a path.
bool is_remote(std::string_view name);
// What a URI's disk is called in a catalog: the last part of its path, without a format's suffix.
std::string name_of_remote(std::string_view uri);

// The disk that a URI means, as it is now, or the image that lies there: of the format that is wished, else as its provider says.
// Errors: those of RemoteDisk::open() and open_image().
Result<std::shared_ptr<const Image>> open_remote(Engine& engine, const std::string& uri, const OpenOptions& options);

}  // namespace hyper
