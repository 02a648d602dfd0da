// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/sandbox.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <liburing.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>
#include <functional>
#include <thread>

#include "nbdserver/locks/listen.h"
#include "nbdserver/locks/rules.h"
#include "nbdserver/locks/tls.h"
#include "tests/nbdserver/locks/tls_client.h"

namespace hyper {
namespace {

using test::ScratchDir;

Result<void> enter_sandbox(const SandboxPaths& paths) {
    TRY(confine_files(paths));
    return confine_calls();
}

// How a child ends that runs `body` in the sandbox: its exit status, or 1000 + the signal that
// killed it. A body gives 0 when all is as claimed, else the number of the step.
int in_sandbox(const SandboxPaths& paths, const std::function<int()>& body) {
    pid_t child = fork();
    if (child == 0) {
        auto entered = enter_sandbox(paths);
        if (!entered) {
            fprintf(stderr, "%s\n", entered.error().message.c_str());
            _exit(99);
        }
        _exit(body());
    }
    int status = 0;
    waitpid(child, &status, 0);
    return WIFSIGNALED(status) ? 1000 + WTERMSIG(status) : WEXITSTATUS(status);
}
constexpr int killed = 1000 + SIGSYS;

bool has_landlock() {
    return syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) > 0;
}
#define NEED_LANDLOCK() \
    if (!has_landlock()) GTEST_SKIP() << "this kernel has no Landlock"

int open_error(const std::string& path, int flags) {
    UniqueFd fd(open(path.c_str(), flags | O_CLOEXEC, 0600));
    return fd ? 0 : errno;
}

// A folder to read, a folder to write, and one of neither.
struct Folders {
    Folders() {
        for (const ScratchDir* dir : {&read, &write, &other})
            test::write_file(dir->path("file"), bytes_of_text("text"));
    }
    SandboxPaths paths() const { return {{read.dir().string()}, {write.dir().string()}, {}}; }
    ScratchDir read, write, other;
};

TEST(SandboxTest, files_beneath_the_folders_are_read) {
    Folders folders;
    EXPECT_EQ(
        in_sandbox(folders.paths(),
                   [&] {
                       UniqueFd fd(open(folders.read.path("file").c_str(), O_RDONLY | O_CLOEXEC));
                       char text[4];
                       iovec part{text, sizeof text};
                       if (pread(fd.get(), text, 4, 0) != 4) return 1;
                       if (preadv2(fd.get(), &part, 1, 0, RWF_NOWAIT) < 0 && errno != EAGAIN &&
                           errno != EOPNOTSUPP)
                           return 2;
                       struct statx found;
                       if (statx(AT_FDCWD, folders.read.path("file").c_str(), 0, STATX_BASIC_STATS,
                                 &found) != 0)
                           return 3;
                       if (lseek(fd.get(), 0, SEEK_DATA) != 0) return 4;
                       if (posix_fadvise(fd.get(), 0, 4, POSIX_FADV_WILLNEED) != 0) return 5;
                       struct fiemap map {};
                       map.fm_length = FIEMAP_MAX_OFFSET;
                       if (ioctl(fd.get(), FS_IOC_FIEMAP, &map) != 0 && errno != EOPNOTSUPP)
                           return 6;
                       if (syscall(451, fd.get(), nullptr, nullptr, 0) != 0 && errno == EPERM)
                           return 7;
                       int files = 0;
                       for (const auto& entry :
                            std::filesystem::directory_iterator(folders.read.dir()))
                           files += entry.exists();
                       return files == 1 ? 0 : 8;
                   }),
        0);
}

TEST(SandboxTest, files_elsewhere_are_not_read) {
    NEED_LANDLOCK();
    Folders folders;
    EXPECT_EQ(in_sandbox(folders.paths(),
                         [&] {
                             if (open_error("/etc/shadow", O_RDONLY) != EACCES) return 1;
                             if (open_error(folders.other.path("file"), O_RDONLY) != EACCES)
                                 return 2;
                             if (open_error(
                                     folders.read.path(
                                         "../" + folders.other.dir().filename().string() + "/file"),
                                     O_RDONLY) != EACCES)
                                 return 3;
                             if (open_error("/", O_RDONLY | O_DIRECTORY) != EACCES) return 4;
                             if (open_error("/proc/self/maps", O_RDONLY) != EACCES) return 5;
                             return open_error("/etc/passwd", O_RDONLY);
                         }),
              0);
}

TEST(SandboxTest, links_do_not_lead_out) {
    NEED_LANDLOCK();
    Folders folders;
    std::filesystem::create_symlink(folders.other.path("file"), folders.read.path("link"));
    EXPECT_EQ(in_sandbox(folders.paths(),
                         [&] { return open_error(folders.read.path("link"), O_RDONLY); }),
              EACCES);
}

TEST(SandboxTest, a_ring_does_not_open_files_elsewhere) {
    NEED_LANDLOCK();
    Folders folders;
    EXPECT_EQ(
        in_sandbox(folders.paths(),
                   [&] {
                       io_uring ring;
                       if (io_uring_queue_init(4, &ring, 0) != 0)
                           return 0;  // io_uring is forbidden here: no way out either
                       auto open_by_ring = [&](const std::string& path) {
                           io_uring_sqe* entry = io_uring_get_sqe(&ring);
                           io_uring_prep_openat(entry, AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC,
                                                0);
                           io_uring_cqe* done = nullptr;
                           if (io_uring_submit(&ring) != 1 || io_uring_wait_cqe(&ring, &done) != 0)
                               return 1;
                           int result = done->res;
                           io_uring_cqe_seen(&ring, done);
                           return result;
                       };
                       if (open_by_ring(folders.read.path("file")) < 0) return 1;
                       return open_by_ring(folders.other.path("file")) == -EACCES ? 0 : 2;
                   }),
        0);
}

TEST(SandboxTest, only_the_folders_for_writing_are_written) {
    NEED_LANDLOCK();
    Folders folders;
    EXPECT_EQ(
        in_sandbox(folders.paths(),
                   [&] {
                       UniqueFd fd(open(folders.write.path("file").c_str(), O_RDWR | O_CLOEXEC));
                       if (pwrite(fd.get(), "x", 1, 0) != 1 || fdatasync(fd.get()) != 0 ||
                           ftruncate(fd.get(), 100) != 0)
                           return 1;
                       if (fallocate(fd.get(), 0, 0, 100) != 0 && errno == EPERM) return 2;
                       if (open_error(folders.write.path("new"), O_WRONLY | O_CREAT) != 0) return 3;
                       if (unlink(folders.write.path("new").c_str()) != 0) return 4;
                       // The index and the draft of a volume.
                       std::string made = folders.write.path("made"), moved = folders.write.path("moved");
                       if (mkdir(made.c_str(), 0700) != 0 || rename(made.c_str(), moved.c_str()) != 0 || rmdir(moved.c_str()) != 0)
                           return 20;
                       if (mkdir(folders.read.path("made").c_str(), 0700) == 0 || errno != EACCES) return 21;
                       if (rename(folders.write.path("file").c_str(), folders.read.path("moved").c_str()) == 0) return 22;
                       if (open_error(folders.read.path("file"), O_WRONLY) != EACCES) return 5;
                       if (open_error(folders.read.path("new"), O_WRONLY | O_CREAT) != EACCES)
                           return 6;
                       if (unlink(folders.read.path("file").c_str()) == 0) return 7;
                       if (open_error(folders.read.path("file"), O_RDONLY | O_TRUNC) != EACCES)
                           return 8;
                       return 0;
                   }),
        0);
}

TEST(SandboxTest, a_single_file_is_allowed_without_its_neighbours) {
    NEED_LANDLOCK();
    Folders folders;
    test::write_file(folders.other.path("neighbour"), {});
    EXPECT_EQ(in_sandbox({{folders.read.path("file")}, {folders.other.path("file")}, {}},
                         [&] {
                             if (open_error(folders.read.path("file"), O_RDONLY) != 0) return 1;
                             if (open_error(folders.other.path("file"), O_RDWR) != 0) return 2;
                             return open_error(folders.other.path("neighbour"), O_RDONLY) == EACCES
                                        ? 0
                                        : 3;
                         }),
              0);
}

TEST(SandboxTest, a_listeners_path_goes_where_removing_is_allowed) {
    ScratchDir scratch;
    auto listener = std::make_unique<Listener>(std::move(*listen_unix(scratch.path("s"))));
    EXPECT_EQ(in_sandbox({{}, {}, {scratch.dir().string()}},
                         [&] {
                             listener.reset();
                             return 0;
                         }),
              0);
    EXPECT_FALSE(std::filesystem::exists(scratch.path("s")));
    listener->leave_path();
}

TEST(SandboxTest, no_program_is_executed) {
    EXPECT_EQ(in_sandbox({{"/"}, {}, {}},
                         [] {
                             execl("/bin/true", "true", nullptr);
                             return 1;
                         }),
              killed);
    EXPECT_EQ(in_sandbox({{"/"}, {}, {}},
                         [] {
                             const char* arguments[] = {"true", nullptr};
                             syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, nullptr, 0);
                             return 1;
                         }),
              killed);
}

TEST(SandboxTest, calls_that_only_an_attacker_makes_end_the_process) {
    const std::pair<const char*, std::function<void()>> attacks[] = {
        {"ptrace", [] { ptrace(PTRACE_TRACEME, 0, nullptr, nullptr); }},
        {"mount", [] { mount("none", "/", "tmpfs", 0, nullptr); }},
        {"unshare", [] { unshare(CLONE_NEWUSER); }},
        {"chroot", [] { (void)!chroot("/"); }},
        {"bpf", [] { syscall(SYS_bpf, 0, nullptr, 0); }},
        {"process_vm_readv",
         [] { syscall(SYS_process_vm_readv, getppid(), nullptr, 0, nullptr, 0, 0); }},
        {"init_module", [] { syscall(SYS_init_module, nullptr, 0, ""); }},
        {"setuid", [] { (void)!setuid(0); }},
    };
    for (const auto& [name, attack] : attacks)
        EXPECT_EQ(in_sandbox({},
                             [&attack = attack] {
                                 attack();
                                 return 1;
                             }),
                  killed)
            << name;
}

TEST(SandboxTest, new_sockets_are_unix_datagrams_only) {
    EXPECT_EQ(in_sandbox({},
                         [] {
                             int step = 0;
                             constexpr std::pair<int, int> refused[] = {
                                 {AF_INET, SOCK_STREAM},   {AF_INET, SOCK_DGRAM},
                                 {AF_INET6, SOCK_STREAM},  {AF_VSOCK, SOCK_STREAM},
                                 {AF_NETLINK, SOCK_RAW},   {AF_PACKET, SOCK_RAW},
                                 {AF_UNIX, SOCK_STREAM},   {AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC},
                                 {AF_UNIX, SOCK_SEQPACKET}};
                             for (auto [family, type] : refused) {
                                 ++step;
                                 if (socket(family, type, 0) != -1 || errno != EPERM) return step;
                             }
                             UniqueFd datagram(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
                             return datagram ? 0 : 100;
                         }),
              0);
}

TEST(SandboxTest, tcp_neither_connects_nor_binds_even_by_a_socket_from_before) {
    NEED_LANDLOCK();
    if (syscall(SYS_landlock_create_ruleset, nullptr, 0, 1) < 4)
        GTEST_SKIP() << "this Landlock knows no TCP";
    auto listeners = listen_network("127.0.0.1:0");
    ASSERT_TRUE(listeners);
    UniqueFd before(socket(AF_INET, SOCK_STREAM, 0));
    EXPECT_EQ(in_sandbox({},
                         [&] {
                             sockaddr_in address{};
                             socklen_t length = sizeof address;
                             getsockname(listeners->front().fd(),
                                         reinterpret_cast<sockaddr*>(&address), &length);
                             if (connect(before.get(), reinterpret_cast<sockaddr*>(&address),
                                         length) == 0 ||
                                 errno != EACCES)
                                 return 1;
                             return 0;
                         }),
              0);
}

TEST(SandboxTest, connections_are_accepted_and_served) {
    ScratchDir scratch;
    auto listener = listen_unix(scratch.path("s"));
    ASSERT_TRUE(listener);
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    UniqueFd here(ends[0]), there(ends[1]);
    EXPECT_EQ(in_sandbox({},
                         [&] {
                             if (accept4(listener->fd(), nullptr, nullptr, SOCK_CLOEXEC) >= 0 ||
                                 errno != EAGAIN)
                                 return 1;
                             if (send(here.get(), "x", 1, MSG_NOSIGNAL) != 1) return 2;
                             char byte;
                             if (recv(there.get(), &byte, 1, 0) != 1) return 3;
                             auto peer = peer_of(here.get());
                             return peer && peer->uid == geteuid() ? 0 : 4;
                         }),
              0);
}

TEST(SandboxTest, threads_start_and_processes_do_not) {
    EXPECT_EQ(in_sandbox({},
                         [] {
                             int done = 0;
                             std::thread([&] { done = 1; }).join();
                             if (done != 1) return 1;
                             return fork() == -1 && errno == EPERM ? 0 : 2;
                         }),
              0);
}

TEST(SandboxTest, threads_are_confined_as_well) {
    NEED_LANDLOCK();
    EXPECT_EQ(
        in_sandbox({},
                   [] {
                       int error = 0;
                       std::thread([&] { error = open_error("/etc/shadow", O_RDONLY); }).join();
                       return error;
                   }),
        EACCES);
}

TEST(SandboxTest, calls_are_filtered_in_threads_that_run_already) {
    pid_t child = fork();
    if (child == 0) {
        int ends[2], error = 0;
        if (pipe(ends) != 0 || !confine_files({})) _exit(1);
        std::thread other([&] {
            char byte;
            if (read(ends[0], &byte, 1) == 1 && socket(AF_INET, SOCK_STREAM, 0) == -1)
                error = errno;
        });
        if (!confine_calls() || write(ends[1], "x", 1) != 1) _exit(2);
        other.join();
        _exit(error == EPERM ? 0 : 3);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
}

TEST(SandboxTest, memory_never_becomes_code) {
    EXPECT_EQ(in_sandbox({},
                         [] {
                             void* page = mmap(nullptr, 4096, PROT_READ | PROT_WRITE,
                                               MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                             if (page == MAP_FAILED) return 1;
                             if (mprotect(page, 4096, PROT_READ | PROT_EXEC) == 0 || errno != EPERM)
                                 return 2;
                             if (mmap(nullptr, 4096, PROT_READ | PROT_EXEC,
                                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
                                 return 3;
                             return mprotect(page, 4096, PROT_NONE) == 0 ? 0 : 4;
                         }),
              0);
}

TEST(SandboxTest, other_calls_fail_and_the_process_goes_on) {
    EXPECT_EQ(in_sandbox({},
                         [] {
                             if (symlink("/etc", "/tmp/hyper-sandbox-test") == 0 || errno != EPERM)
                                 return 1;
                             if (kill(getppid(), 0) == 0 || errno != EPERM) return 2;
                             if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) == 0 || errno != EPERM)
                                 return 3;
                             rlimit none{0, 0};
                             if (setrlimit(RLIMIT_NOFILE, &none) == 0 || errno != EPERM) return 4;
                             if (getrlimit(RLIMIT_NOFILE, &none) != 0) return 5;
                             if (ioctl(0, 0x5412 /* TIOCSTI */, "x") == 0 || errno != EPERM)
                                 return 6;
                             return eventfd(0, EFD_CLOEXEC) >= 0 ? 0 : 7;
                         }),
              0);
}

TEST(SandboxTest, an_abort_is_still_an_abort) {
    EXPECT_EQ(in_sandbox({},
                         [] {
                             abort();
                             return 1;
                         }),
              1000 + SIGABRT);
}

TEST(SandboxTest, there_is_no_core_file_and_no_debugger) {
    pid_t child = fork();
    if (child == 0) {
        // Whose the files of a process in /proc are tells whether it can be debugged, but not if it
        // is root.
        if (geteuid() == 0 && setresuid(1234, 1234, 1234) != 0) _exit(1);
        struct stat found {};
        if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0 || stat("/proc/self/mem", &found) != 0 ||
            found.st_uid == 0)
            _exit(2);
        if (!enter_sandbox({})) _exit(3);
        if (stat("/proc/self/mem", &found) != 0 || found.st_uid != 0) _exit(4);
        rlimit core{1, 1};
        _exit(getrlimit(RLIMIT_CORE, &core) == 0 && core.rlim_max == 0 ? 0 : 5);
    }
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST(SandboxTest, no_new_privileges_are_gained) {
    int ends[2], ready[2];
    ASSERT_TRUE(pipe(ends) == 0 && pipe(ready) == 0);
    UniqueFd out(ends[0]), in(ends[1]), is_ready(ready[0]), say_ready(ready[1]);
    pid_t child = fork();
    if (child == 0) {
        in.reset();
        char byte = enter_sandbox({}) ? 'y' : 'n';
        _exit(write(say_ready.get(), &byte, 1) == 1 && read(out.get(), &byte, 1) == 0 ? 0 : 1);
    }
    char byte = 0;
    EXPECT_EQ(read(is_ready.get(), &byte, 1), 1);
    EXPECT_EQ(byte, 'y');
    std::string status = test::run(fmt::format("cat /proc/{}/status", child)).output;
    EXPECT_NE(status.find("NoNewPrivs:\t1"), std::string::npos) << status;
    EXPECT_NE(status.find("Seccomp:\t2"), std::string::npos) << status;
    in.reset();
    int ended = 0;
    waitpid(child, &ended, 0);
    EXPECT_EQ(ended, 0);
}

TEST(SandboxTest, reloading_rules_and_keys_works_inside) {
    ScratchDir scratch;
    test::write_private(scratch.path("keys"), "alice:" + std::string(32, 'a') + "\n");
    test::write_file(
        scratch.path("rules.toml"),
        bytes_of_text("[[allow]]\nwho = ['user:daemon', 'group:daemon']\nread = ['*']\n"));
    test::Certificate ca =
        test::make_certificate({.common_name = "ca", .authority = true}, nullptr);
    test::Certificate server = test::make_certificate({.common_name = "server"}, &ca);
    test::write_private(scratch.path("ca-cert.pem"), ca.crt_pem());
    test::write_private(scratch.path("server-cert.pem"), server.crt_pem());
    test::write_private(scratch.path("server-key.pem"), server.key_pem());
    EXPECT_EQ(in_sandbox({{scratch.dir().string()}, {}, {}},
                         [&] {
                             if (!Rules::load(scratch.path("rules.toml"))) return 1;
                             auto keys = TlsCredentials::from_psk_file(scratch.path("keys"));
                             if (!keys || !TlsSession::start(*keys)) return 2;
                             auto certificates =
                                 TlsCredentials::from_certificates(scratch.dir().string());
                             return certificates && TlsSession::start(*certificates) ? 0 : 3;
                         }),
              0);
}

TEST(SandboxTest, a_second_thread_is_an_error) {
    int error = 0;
    pid_t child = fork();
    if (child == 0) {
        int ends[2];
        if (pipe(ends) != 0) _exit(1);
        std::thread other([&] {
            char byte;
            (void)!read(ends[0], &byte, 1);
        });
        auto entered = confine_files({});
        _exit(!entered && entered.error().code == EBUSY ? 0 : 2);
    }
    waitpid(child, &error, 0);
    EXPECT_EQ(error, 0);
}

TEST(SandboxTest, a_path_that_is_not_there_is_an_error) {
    NEED_LANDLOCK();
    EXPECT_EQ(in_sandbox({{"/nonexistent"}, {}, {}}, [] { return 0; }), 99);
}

}  // namespace
}  // namespace hyper
