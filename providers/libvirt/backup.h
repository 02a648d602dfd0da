// SPDX-License-Identifier: Apache-2.0
// A backup job of a running guest, in pull mode: QEMU serves a point in time of its disks by NBD, on a Unix socket, and keeps what the
// guest overwrites in scratch files.
#pragma once

#include <string>
#include <vector>

#include "providers/libvirt/virt.h"

namespace hyper::provider::libvirt {

struct BackupDisk {
    std::string target, scratch;
    std::string since;   // the checkpoint whose bitmap is to be exported; empty: none
    std::string bitmap;  // the name that it is exported by
    bool marked = false; // whether it is in the new checkpoint
};

struct BackupPlan {
    std::string socket;
    std::string checkpoint;  // made at the same moment; empty: none
    std::vector<BackupDisk> disks;
    std::vector<std::string> others;  // targets of disks that have no part in it
};

std::string backup_xml(const BackupPlan& plan);
std::string checkpoint_xml(const BackupPlan& plan);

// Whether the job that runs in a domain (job_of()) is one that serves on this socket.
bool is_job_of(const std::string& job, const std::string& socket);
// Ends it if it is this one; returns when there is no such job any more. `begun`: whether the call that began it has returned, as far as
// is known.
Outcome<void> end_job(const hyper_call& call, virDomain* domain, const std::string& socket, bool begun = false);
// Who has a job, for people.
std::string owner_of(const std::string& job);

}  // namespace hyper::provider::libvirt
