// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/sandbox.h"

#include <dirent.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <memory>

#include "blockengine/base/log.h"
#include "nbdserver/locks/landlock.h"

// libseccomp's macros leave out the second datum of a comparison, which clang warns of.
#pragma GCC diagnostic ignored "-Wmissing-field-initializers"

namespace hyper {

namespace {

// By name, since not every architecture has each, and libseccomp 2.5 does not know the newest.
constexpr const char* allowed_calls[] = {
    // Memory; what is executable is decided below.
    "brk", "munmap", "mremap", "madvise", "membarrier",
    // Threads and their end
    "futex", "futex_waitv", "set_robust_list", "rseq", "gettid", "getpid", "sched_yield",
    "sched_getaffinity", "sched_setaffinity", "getcpu", "exit", "exit_group", "restart_syscall",
    // Signals
    "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "rt_sigtimedwait", "rt_sigsuspend",
    "sigaltstack", "signalfd4",
    // Files
    "openat", "openat2", "close", "close_range", "read", "readv", "pread64", "preadv", "preadv2",
    "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek", "fstat", "newfstatat", "statx",
    "statfs", "fstatfs", "getdents64", "getcwd", "readlink", "readlinkat", "access", "faccessat",
    "faccessat2", "fcntl", "flock", "dup", "dup3", "pipe2", "splice", "tee", "vmsplice", "sendfile",
    "copy_file_range", "fallocate", "ftruncate", "fsync", "fdatasync", "sync_file_range",
    "fadvise64", "unlink", "unlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "memfd_create", "inotify_init1", "inotify_add_watch",
    "inotify_rm_watch",
    // Sockets that are there already; new ones are decided below.
    "accept", "accept4", "recvfrom", "recvmsg", "sendto", "sendmsg", "shutdown", "getsockopt",
    "setsockopt", "getsockname", "getpeername", "connect",
    // Waiting and time
    "io_uring_setup", "io_uring_enter", "io_uring_register", "eventfd2", "epoll_create1",
    "epoll_ctl", "epoll_wait", "epoll_pwait", "epoll_pwait2", "poll", "ppoll", "select", "pselect6",
    "timerfd_create", "timerfd_settime", "timerfd_gettime", "nanosleep", "clock_nanosleep",
    "clock_gettime", "clock_getres", "gettimeofday", "time",
    // Who and where we are
    "getrandom", "uname", "sysinfo", "getrusage", "getrlimit", "getuid", "geteuid", "getgid",
    "getegid", "getgroups"};

// cachestat(2), of Linux 6.5; the number is the same everywhere but on alpha.
constexpr int cachestat_number = 451;

// Nothing in this program makes these: who does is in it by force.
constexpr const char* deadly_calls[] = {"execve",
                                        "execveat",
                                        "ptrace",
                                        "process_vm_readv",
                                        "process_vm_writev",
                                        "mount",
                                        "umount2",
                                        "pivot_root",
                                        "chroot",
                                        "move_mount",
                                        "open_tree",
                                        "fsopen",
                                        "fsmount",
                                        "fsconfig",
                                        "fspick",
                                        "mount_setattr",
                                        "setns",
                                        "unshare",
                                        "init_module",
                                        "finit_module",
                                        "delete_module",
                                        "kexec_load",
                                        "kexec_file_load",
                                        "bpf",
                                        "perf_event_open",
                                        "userfaultfd",
                                        "reboot",
                                        "swapon",
                                        "swapoff",
                                        "keyctl",
                                        "add_key",
                                        "request_key",
                                        "iopl",
                                        "ioperm",
                                        "modify_ldt",
                                        "setuid",
                                        "setgid",
                                        "setresuid",
                                        "setresgid",
                                        "setreuid",
                                        "setregid",
                                        "setgroups",
                                        "capset"};

constexpr unsigned long allowed_ioctls[] = {FS_IOC_FIEMAP, BLKGETSIZE64, BLKSSZGET, BLKPBSZGET};

// Collects rules; the first error stays.
class Filter {
  public:
    explicit Filter(scmp_filter_ctx context) : context_(context) {}

    void rule(uint32_t action, const char* call,
              std::initializer_list<scmp_arg_cmp> conditions = {}) {
        int number = seccomp_syscall_resolve_name(call);
        if (number != __NR_SCMP_ERROR) rule(action, number, conditions);
    }
    void rule(uint32_t action, int number, std::initializer_list<scmp_arg_cmp> conditions = {}) {
        int code = seccomp_rule_add_array(
            context_, action, number, static_cast<unsigned>(conditions.size()), conditions.begin());
        // What this architecture does not have needs no rule.
        if (code != 0 && code != -EDOM && error_ == 0) error_ = code;
    }
    void attribute(scmp_filter_attr name, uint32_t value) {
        int code = seccomp_attr_set(context_, name, value);
        if (code != 0 && error_ == 0) error_ = code;
    }
    int error() const { return error_; }

  private:
    scmp_filter_ctx context_;
    int error_ = 0;
};

void fill(Filter& filter) {
    filter.attribute(SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    filter.attribute(SCMP_FLTATR_CTL_TSYNC, 1);
    // A tree of comparisons instead of a list: the filter runs at every call.
    filter.attribute(SCMP_FLTATR_CTL_OPTIMIZE, 2);
    for (const char* call : allowed_calls) filter.rule(SCMP_ACT_ALLOW, call);
    for (const char* call : deadly_calls) filter.rule(SCMP_ACT_KILL_PROCESS, call);
    filter.rule(SCMP_ACT_ALLOW, cachestat_number);

    // Memory never becomes code.
    filter.rule(SCMP_ACT_ALLOW, "mmap", {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
    filter.rule(SCMP_ACT_ALLOW, "mprotect", {SCMP_A2(SCMP_CMP_MASKED_EQ, PROT_EXEC, 0)});
    // Threads, not processes. The flags of clone3 are in memory, where no filter sees them: glibc
    // then takes clone.
    filter.rule(SCMP_ACT_ERRNO(ENOSYS), "clone3");
    filter.rule(SCMP_ACT_ALLOW, "clone", {SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_THREAD, CLONE_THREAD)});
    // Signals to its own threads: abort() and pthread_kill().
    filter.rule(SCMP_ACT_ALLOW, "tgkill",
                {SCMP_A0(SCMP_CMP_EQ, static_cast<scmp_datum_t>(getpid()))});
    // Names of threads; limits are read, not set.
    filter.rule(SCMP_ACT_ALLOW, "prctl", {SCMP_A0(SCMP_CMP_EQ, PR_SET_NAME)});
    filter.rule(SCMP_ACT_ALLOW, "prlimit64", {SCMP_A2(SCMP_CMP_EQ, 0)});
    for (unsigned long request : allowed_ioctls)
        filter.rule(SCMP_ACT_ALLOW, "ioctl", {SCMP_A1(SCMP_CMP_EQ, request)});
    // The low four bits of a socket's type are the type, the rest flags.
    filter.rule(SCMP_ACT_ALLOW, "socket",
                {SCMP_A0(SCMP_CMP_EQ, AF_UNIX), SCMP_A1(SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM)});
    filter.rule(SCMP_ACT_ALLOW, "socketpair", {SCMP_A0(SCMP_CMP_EQ, AF_UNIX)});
}

// Landlock confines one thread, so there must not be another.
Result<void> check_single_thread() {
    DIR* tasks = opendir("/proc/self/task");
    if (tasks == nullptr) return fail(errno, "sandbox: count the threads: {}", errno_text(errno));
    int threads = 0;
    while (const dirent* entry = readdir(tasks)) threads += entry->d_name[0] != '.';
    closedir(tasks);
    if (threads != 1) return fail(EBUSY, "sandbox: {} threads run, and only one may", threads);
    return {};
}

}  // namespace

Result<void> confine_files(const SandboxPaths& paths) {
    TRY(check_single_thread());
    rlimit no_core{0, 0};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &no_core) != 0)
        return fail(errno, "sandbox: give up privileges: {}", errno_text(errno));
    int version = TRY(restrict_files(paths));
    if (version == 0)
        log_warning(
            "sandbox: this kernel has no Landlock, so only file modes keep the server from other "
            "files");
    else
        log_info("sandbox: Landlock version {}", version);
    return {};
}

Result<void> confine_calls() {
    std::unique_ptr<void, decltype(&seccomp_release)> context(seccomp_init(SCMP_ACT_ERRNO(EPERM)),
                                                              seccomp_release);
    if (!context) return fail(ENOMEM, "sandbox: make a filter of system calls");
    Filter filter(context.get());
    fill(filter);
    int code = filter.error() != 0 ? filter.error() : seccomp_load(context.get());
    if (code != 0) return fail(-code, "sandbox: filter system calls: {}", errno_text(-code));
    return {};
}

}  // namespace hyper
