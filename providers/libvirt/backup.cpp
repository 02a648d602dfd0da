// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/backup.h"

#include <chrono>
#include <filesystem>
#include <thread>

#include "providers/libvirt/place.h"
#include "providers/libvirt/xml.h"

namespace hyper::provider::libvirt {
namespace {

std::string socket_of(const std::string& job) {
    auto xml = Xml::parse(job);
    return xml ? xml->text("/domainbackup/server/@socket") : "";
}

}  // namespace

std::string backup_xml(const BackupPlan& plan) {
    std::string xml = "<domainbackup mode='pull'><server transport='unix' socket='" + escaped(plan.socket) + "'/><disks>";
    for (const BackupDisk& disk : plan.disks) {
        xml += "<disk name='" + escaped(disk.target) + "' backup='yes' type='file' exportname='" + escaped(disk.target) + "'";
        if (disk.since.empty())
            xml += " backupmode='full'";
        else
            xml += " backupmode='incremental' incremental='" + escaped(disk.since) + "' exportbitmap='" + escaped(disk.bitmap) + "'";
        xml += "><driver type='qcow2'/><scratch file='" + escaped(disk.scratch) + "'/></disk>";
    }
    for (const std::string& target : plan.others) xml += "<disk name='" + escaped(target) + "' backup='no'/>";
    return xml + "</disks></domainbackup>";
}

std::string checkpoint_xml(const BackupPlan& plan) {
    std::string xml = "<domaincheckpoint><name>" + escaped(plan.checkpoint) + "</name><disks>";
    for (const BackupDisk& disk : plan.disks)
        xml += "<disk name='" + escaped(disk.target) + "' checkpoint='" + (disk.marked ? "bitmap" : "no") + "'/>";
    for (const std::string& target : plan.others) xml += "<disk name='" + escaped(target) + "' checkpoint='no'/>";
    return xml + "</disks></domaincheckpoint>";
}

bool is_job_of(const std::string& job, const std::string& socket) { return !job.empty() && socket_of(job) == socket; }

Outcome<void> end_job(const hyper_call& call, virDomain* domain, const std::string& socket) {
    // Where it has ended in the meantime the abortion fails, and there is nothing left to do.
    while (is_job_of(job_of(domain), socket)) {
        int aborted = virDomainAbortJob(domain);
        Failure failure = aborted == 0 ? Failure{HYPER_RETRY_LATER, "libvirt: the backup job of domain " + name_of(domain) + " does not end"}
                                       : last_failure("end the backup job of domain " + name_of(domain));
        if (given_up(call)) return tl::unexpected(std::move(failure));
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    // No answer is no sign that there is no job.
    if (last_code() != VIR_ERR_OK && last_code() != VIR_ERR_NO_DOMAIN_BACKUP && last_code() != VIR_ERR_NO_DOMAIN &&
        last_code() != VIR_ERR_OPERATION_INVALID)
        return tl::unexpected(last_failure("look for a backup job of domain " + name_of(domain)));
    return {};
}

std::string owner_of(const std::string& job) {
    std::string socket = socket_of(job);
    if (std::filesystem::path(socket).filename().string().starts_with(tag_prefix))
        return "a backup job of hyper, which serves on " + socket + " (if nothing of hyper's runs, \"hyperctl cleanup\" ends it)";
    if (!socket.empty()) return "a backup job of another program, which serves on " + socket;
    return "a backup job of another program";
}

}  // namespace hyper::provider::libvirt
