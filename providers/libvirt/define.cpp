// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "providers/libvirt/connection.h"
#include "providers/libvirt/guest.h"
#include "providers/libvirt/process.h"
#include "providers/libvirt/restored.h"
#include "providers/libvirt/tpm.h"

namespace hyper::provider::libvirt {
namespace {

const std::string* find(const Machine& machine, const std::string& name) {
    for (const auto& [other, bytes] : machine.companions)
        if (other == name) return &bytes;
    return nullptr;
}

// A file that was not there before, or none.
Outcome<void> write_new(const std::string& path, std::string_view bytes) {
    UniqueFd file(open(path.c_str(), O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0600));
    auto wrong = [&] { return failed(HYPER_BAD_CONFIGURATION, "libvirt: write " + path + ": " + std::strerror(errno)); };
    if (!file) return wrong();
    while (!bytes.empty()) {
        ssize_t written = write(file.get(), bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) {
            auto failure = wrong();
            unlink(path.c_str());
            return failure;
        }
        bytes.remove_prefix(static_cast<size_t>(written));
    }
    if (fsync(file.get()) == 0) return {};
    auto failure = wrong();
    unlink(path.c_str());
    return failure;
}

// "vda" of "libvirt:UUID/vda"; of a disk that came another way "".
std::string target_of(const std::string& disk_id) { return disk_id.starts_with("libvirt:") ? disk_id.substr(disk_id.rfind('/') + 1) : ""; }

// Those of the description that the machine does not get.
void tell_disks_left_out(const Host& host, const std::string& description, const Restored& restored) {
    auto guest = parse_guest(description);
    if (!guest || guest->disks.size() == 1) return;
    for (const GuestDisk& disk : guest->disks) {
        auto is_it = [&](const RestoredDisk& one) { return one.target == disk.target; };
        if (std::none_of(restored.disks.begin(), restored.disks.end(), is_it))
            host.log(HYPER_LOG_WARNING, "domain " + restored.name + " is made without disk " + disk.target + ", which " + guest->name + " had");
    }
}

// swtpm gets its files from libvirt, which gives them to its user.
Outcome<void> put_back_tpm(const std::filesystem::path& folder, const Machine& machine) {
    for (const TpmState& state : tpm_states) {
        const std::string* bytes = find(machine, state.companion);
        if (bytes == nullptr) continue;
        std::error_code error;
        std::filesystem::create_directories(folder / state.folder, error);
        if (error) return failed(HYPER_NOT_ALLOWED, "make " + (folder / state.folder).string() + ": " + error.message());
        if (auto written = write_new(folder / state.folder / state.companion, *bytes); !written) return written;
    }
    return {};
}

}  // namespace

Outcome<void> define_domain(const Host& host, const Place& place, const Machine& machine) {
    const std::string* description = find(machine, "domain.xml");
    if (description == nullptr)
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: no description of a domain was kept (domain.xml), as a sync from libvirt:// does");
    if (!place.is_local()) return failed(HYPER_BAD_CONFIGURATION, "libvirt: " + place.connect + " is on another machine, and the disk's file on this one");
    const std::string *variables = find(machine, "nvram"), nvram = machine.disks.front().path + ".nvram";
    Restored restored{machine.name, {}, variables == nullptr ? "" : nvram};
    for (const MachineDisk& disk : machine.disks) restored.disks.push_back({target_of(disk.disk_id), disk.path, disk.format});
    auto xml = restored_xml(*description, restored);
    if (!xml) return tl::unexpected(xml.error());
    auto connect = connect_to(place.connect);
    if (!connect) return tl::unexpected(connect.error());
    if (Domain(virDomainLookupByName(connect->get(), machine.name.c_str())))
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: there is a domain " + machine.name + " already");
    if (machine.look_only) {
        tell_disks_left_out(host, *description, restored);
        return {};
    }

    if (variables != nullptr)
        if (auto written = write_new(nvram, *variables); !written) return written;
    Domain domain(virDomainDefineXMLFlags(connect->get(), xml->c_str(), VIR_DOMAIN_DEFINE_VALIDATE));
    if (!domain) {
        Failure failure = last_failure("define domain " + machine.name);
        if (variables != nullptr) unlink(nvram.c_str());
        return tl::unexpected(std::move(failure));
    }
    if (auto put = put_back_tpm(tpm_folder(place, uuid_of(domain.get())), machine); !put)
        host.log(HYPER_LOG_WARNING, "the state of the TPM is not put back (" + put.error().message + "): domain " + machine.name +
                                        " begins with an empty one");
    return {};
}

}  // namespace hyper::provider::libvirt
