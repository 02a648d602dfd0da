// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstring>

#include "providers/libvirt/connection.h"
#include "providers/libvirt/process.h"
#include "providers/libvirt/restored.h"

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

}  // namespace

Outcome<void> define_domain(const Host& host, const Place& place, const Machine& machine) {
    const std::string* description = find(machine, "domain.xml");
    if (description == nullptr)
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: no description of a domain was kept (domain.xml), as a sync from libvirt:// does");
    if (!place.is_local()) return failed(HYPER_BAD_CONFIGURATION, "libvirt: " + place.connect + " is on another machine, and the disk's file on this one");
    const std::string *variables = find(machine, "nvram"), nvram = machine.path + ".nvram";
    std::string target = machine.disk_id.starts_with("libvirt:") ? machine.disk_id.substr(machine.disk_id.rfind('/') + 1) : "";
    auto xml = restored_xml(*description, {machine.name, target, machine.path, machine.format,
                                           variables == nullptr ? "" : nvram});
    if (!xml) return tl::unexpected(xml.error());
    auto connect = connect_to(place.connect);
    if (!connect) return tl::unexpected(connect.error());
    if (Domain(virDomainLookupByName(connect->get(), machine.name.c_str())))
        return failed(HYPER_BAD_CONFIGURATION, "libvirt: there is a domain " + machine.name + " already");
    if (machine.look_only) return {};

    if (variables != nullptr)
        if (auto written = write_new(nvram, *variables); !written) return written;
    Domain domain(virDomainDefineXMLFlags(connect->get(), xml->c_str(), VIR_DOMAIN_DEFINE_VALIDATE));
    if (!domain) {
        Failure failure = last_failure("define domain " + machine.name);
        if (variables != nullptr) unlink(nvram.c_str());
        return tl::unexpected(std::move(failure));
    }
    if (find(machine, "tpm2-00.permall") != nullptr || find(machine, "tpm-00.permall") != nullptr)
        host.log(HYPER_LOG_WARNING, "the state of the TPM is not put back: domain " + machine.name + " begins with an empty one");
    return {};
}

}  // namespace hyper::provider::libvirt
