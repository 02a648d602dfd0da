// SPDX-License-Identifier: Apache-2.0
#include "providers/libvirt/backup.h"

#include <chrono>
#include <filesystem>
#include <thread>

#include "providers/libvirt/nbd_reader.h"
#include "providers/libvirt/place.h"
#include "providers/libvirt/xml.h"

namespace hyper::provider::libvirt {
namespace {

constexpr std::chrono::seconds begin_limit{5};

std::string socket_of(const std::string& job) {
    auto xml = Xml::parse(job);
    return xml ? xml->text("/domainbackup/server/@socket") : "";
}

// Whether libvirt is at work to begin a job, perhaps for a client that was killed meanwhile.
bool is_beginning(virDomain* domain) {
    int type = VIR_DOMAIN_JOB_NONE, count = 0, operation = VIR_DOMAIN_JOB_OPERATION_UNKNOWN;
    virTypedParameterPtr told = nullptr;
    // At the very beginning it says "internal error: backup job data missing".
    if (virDomainGetJobStats(domain, &type, &told, &count, 0) != 0) return last_code() == VIR_ERR_INTERNAL_ERROR && is_active(domain);
    virTypedParamsGetInt(told, count, VIR_DOMAIN_JOB_OPERATION, &operation);
    virTypedParamsFree(told, count);
    return type != VIR_DOMAIN_JOB_NONE && operation == VIR_DOMAIN_JOB_OPERATION_BACKUP;
}

// The call that begins a job may still be at work for a client that was killed, and libvirt 9.0 ends by a fault when the job is ended or its
// checkpoint deleted meanwhile. The last thing that the call makes are the exports.
void wait_until_begun(const hyper_call& call, const std::string& job) {
    auto xml = Xml::parse(job);
    std::vector<NbdExport> exports;
    for (Xml::Node disk : xml->find("/domainbackup/disks/disk[@backup='yes']"))
        exports.push_back({xml->text("/domainbackup/server/@socket"), xml->text("@exportname", disk), ""});
    auto end = std::chrono::steady_clock::now() + begin_limit;
    while (!given_up(call) && std::chrono::steady_clock::now() < end && !NbdReader::open(exports, call))
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
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

Outcome<void> end_job(const hyper_call& call, virDomain* domain, const std::string& socket, bool begun) {
    for (;;) {
        std::string job = job_of(domain);
        int code = last_code();
        if (!is_job_of(job, socket)) {
            // No answer is no sign that there is no job.
            bool told = !job.empty() || code == VIR_ERR_NO_DOMAIN_BACKUP || code == VIR_ERR_NO_DOMAIN || code == VIR_ERR_OPERATION_INVALID;
            if (!told) return tl::unexpected(last_failure("look for a backup job of domain " + name_of(domain)));
            if (!job.empty() || !is_beginning(domain)) return {};
        } else if (!begun) {
            wait_until_begun(call, job);
            begun = true;
            continue;
        } else if (virDomainAbortJob(domain) != 0 && given_up(call)) {
            return tl::unexpected(last_failure("end the backup job of domain " + name_of(domain)));
        }
        if (given_up(call)) return failed(HYPER_RETRY_LATER, "libvirt: the backup job of domain " + name_of(domain) + " does not end");
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
}

std::string owner_of(const std::string& job) {
    std::string socket = socket_of(job);
    if (std::filesystem::path(socket).filename().string().starts_with(tag_prefix))
        return "a backup job of hyper, which serves on " + socket + " (if nothing of hyper's runs, \"hyperctl cleanup\" ends it)";
    if (!socket.empty()) return "a backup job of another program, which serves on " + socket;
    return "a backup job of another program";
}

}  // namespace hyper::provider::libvirt
