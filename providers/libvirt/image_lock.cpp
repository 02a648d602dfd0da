// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/image_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

namespace hyper::provider::libvirt {
namespace {

constexpr off_t does_write = 101;
constexpr off_t lets_nobody_write = 201;

}  // namespace

Outcome<UniqueFd> lock_image(const std::string& path) {
    UniqueFd image(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!image)
        return failed(errno == EACCES || errno == EPERM ? HYPER_NOT_ALLOWED : HYPER_BAD_CONFIGURATION,
                      "libvirt: open image " + path + ": " + strerror(errno));
    struct flock ours {};
    ours.l_type = F_RDLCK;
    ours.l_whence = SEEK_SET;
    ours.l_start = lets_nobody_write;
    ours.l_len = 1;
    if (fcntl(image.get(), F_OFD_SETLK, &ours) != 0)
        return failed(HYPER_RETRY_LATER, "libvirt: lock image " + path + ": " + strerror(errno));
    struct flock theirs = ours;
    theirs.l_type = F_WRLCK;
    theirs.l_start = does_write;
    if (fcntl(image.get(), F_OFD_GETLK, &theirs) != 0)
        return failed(HYPER_FATAL, "libvirt: look at the locks of image " + path + ": " + strerror(errno));
    if (theirs.l_type != F_UNLCK) return failed(HYPER_RETRY_LATER, "libvirt: image " + path + " is being written by another process");
    return image;
}

}  // namespace hyper::provider::libvirt
