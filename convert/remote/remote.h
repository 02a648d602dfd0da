// SPDX-License-Identifier: Apache-2.0
// Disks and images of providers: nbd://..., s3://..., libvirt://...
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "convert/image.h"

namespace hyper {

// Whether a name is a provider's, rather than a path.
bool is_remote(std::string_view name);
// What a URI's disk is called in a catalog: the last part of its path, without a format's suffix.
std::string name_of_remote(std::string_view uri);

// The disk that a URI means, as it is now, or the image that lies there: of the format that is wished, else as its provider says.
// Errors: those of RemoteDisk::open() and open_image().
Result<std::shared_ptr<const Image>> open_remote(Engine& engine, const std::string& uri, const OpenOptions& options);

// All disks of a machine or place that a URI means, at one moment, by the names that the provider gives them. `since_of` tells the change id that a disk is to
// be compared with. Errors: those of RemoteDisk::open_together(); ENOTSUP for images, which are opened one by one.
struct NamedImage {
    std::string name;
    std::shared_ptr<const Image> image;
};
Result<std::vector<NamedImage>> open_remotes_together(Engine& engine, const std::string& uri, const RemoteWish& wish,
                                                      const std::function<Result<std::string>(const std::string& disk)>& since_of);

}  // namespace hyper
