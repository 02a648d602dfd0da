// SPDX-License-Identifier: Apache-2.0
// Removes what a process left behind that was killed. What is asked for here was noted by this provider; its name has to say so too.
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>

#include "providers/libvirt/backup.h"
#include "providers/libvirt/checkpoints.h"
#include "providers/libvirt/connection.h"
#include "providers/libvirt/frozen.h"
#include "providers/libvirt/process.h"

namespace hyper::provider::libvirt {
namespace {

// A socket or a plain file, and no link to another's.
Outcome<void> remove_file(const std::string& path) {
    struct stat what {};
    if (lstat(path.c_str(), &what) != 0 && (errno == ENOENT || errno == ENOTDIR)) return {};
    if (!S_ISREG(what.st_mode) && !S_ISSOCK(what.st_mode))
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: " + path + " is neither a file nor a socket, so it is not what was made");
    if (unlink(path.c_str()) == 0 || errno == ENOENT) return {};
    return failed(errno == EACCES || errno == EPERM ? HYPER_NOT_ALLOWED : HYPER_FATAL, "libvirt: remove " + path + ": " + strerror(errno));
}

// The tag that a name was made with: "hyper-TAG" of /FOLDER/hyper-TAG-vda.scratch.
std::string tag_of(const std::string& name) {
    size_t end = name.find_first_of("-.", std::string_view(tag_prefix).size());
    return name.substr(0, end);
}

}  // namespace

Outcome<void> clean_up(const hyper_call& call, const Place& place, const std::string& kind, const std::string& id) {
    bool is_path = kind == "scratch" || kind == "socket" || kind == "reader";
    bool is_known = is_path || kind == "backup" || kind == "checkpoint" || kind == "freeze";
    std::filesystem::path path(id);
    std::string name = is_path ? path.filename().string() : id;
    if (!is_known || !name.starts_with(tag_prefix) || (is_path && (!path.is_absolute() || path.extension() != (kind == "scratch" ? ".scratch" : ".sock"))))
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: this provider made no " + kind + " " + id);

    if (kind == "reader") {
        if (auto ended = end_processes_with("qemu-nbd", "--socket=" + id); !ended) return ended;
        return remove_file(id);
    }

    auto connect = connect_to(place.connect);
    if (!connect) return tl::unexpected(connect.error());
    auto domain = find_domain(connect->get(), place.domain);
    bool is_there = domain.has_value();
    if (!is_there && last_code() != VIR_ERR_NO_DOMAIN) return tl::unexpected(domain.error());
    if (is_there && kind == "checkpoint") {
        // While a job runs none can be deleted, so it goes first if it was made with the checkpoint.
        std::string tag = tag_prefix + name.substr(name.rfind('-') + 1);
        if (auto ended = end_job(call, domain->get(), place.scratch + "/" + tag + ".sock"); !ended) return ended;
        return delete_checkpoint(domain->get(), id, place.is_local());
    }
    if (kind == "freeze") return is_there ? thaw(domain->get()) : Outcome<void>();
    if (is_there) {
        std::string folder = is_path ? path.parent_path().string() : place.scratch;
        std::string socket = folder + "/" + tag_of(name) + ".sock";
        if (auto ended = end_job(call, domain->get(), socket); !ended) return ended;
    }
    if (is_path && place.is_local()) return remove_file(id);
    return {};
}

}  // namespace hyper::provider::libvirt
