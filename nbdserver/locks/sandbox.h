// SPDX-License-Identifier: Apache-2.0
// Narrows this process to what a running server does, so that whoever takes it over by a hostile
// image or client gets little: no other program, no other files, no way out to the network.
// libseccomp is included in sandbox.cpp alone.
//
//     privileges   never more than now; not dumpable: no core file and no debugger shows keys
//     Landlock     only the files named here; TCP neither binds nor connects; no signals to others
//     seccomp      only the calls of an io_uring server with GnuTLS: see sandbox.cpp
//
// A call that is not on the list fails with EPERM; one that only an attacker makes (exec, ptrace,
// mount, bpf, modules) ends the process by SIGSYS. New sockets may only be Unix datagram sockets,
// for the log and the service manager. io_uring runs operations that seccomp does not see, among
// them sockets: Landlock holds there too, and the owner of a ring restricts its operations
// (IORING_REGISTER_RESTRICTIONS).
//
// What this means for the rest of the server: TCP is bound before confine_files(); whatever else
// makes sockets, connects or sets limits comes before confine_calls(); users and groups that
// /etc/passwd and /etc/group do not have cannot be looked up afterwards. LeakSanitizer traces the
// process, so a build with it turns it off.
#pragma once

#include <string>
#include <vector>

#include "blockengine/base/result.h"

namespace hyper {

// Files, and folders with all that is in them. A file that may be replaced by another of its name
// needs its folder here.
struct SandboxPaths {
    std::vector<std::string> read;  // images, rules, certificates
    std::vector<std::string>
        write;  // read too; in a folder, files, folders and sockets are made and removed
    std::vector<std::string> remove;  // folders of listening sockets, whose paths go at the end
};

// First: privileges, core files, and Landlock, for good and for all threads that start later; so no
// other thread may run yet. /etc/passwd, /etc/group, /etc/nsswitch.conf and /etc/localtime stay
// readable, where they are. Without Landlock in the kernel a warning is logged, and the rest holds.
// Errors: EBUSY where another thread runs; those of opening a path; what the kernel gave. After an
// error the process must not go on.
Result<void> confine_files(const SandboxPaths& paths);

// Then, when the server is up: seccomp, for good and for all threads, those that run already too.
// After confine_files(). Errors: what the kernel gave; the process must not go on.
Result<void> confine_calls();

}  // namespace hyper
