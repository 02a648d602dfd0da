// SPDX-License-Identifier: Apache-2.0
#include "fusefs/mount.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string_view>
#include <thread>

#include "fusefs/filesystem.h"

namespace hyper {

namespace {

constexpr unsigned threads_max = 16;
// Several of the largest requests, so that they are in flight together.
constexpr std::string_view readahead_kib = "4096";

// The kernel takes at most 128 KiB from FUSE itself; an administrator may ask for more here. Who
// may not does without.
void raise_readahead(const struct stat& mounted) {
    std::string path = fmt::format("/sys/class/bdi/{}:{}/read_ahead_kb", major(mounted.st_dev),
                                   minor(mounted.st_dev));
    int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    [[maybe_unused]] ssize_t written = ::write(fd, readahead_kib.data(), readahead_kib.size());
    ::close(fd);
}

// Ends once the mount has answered, or never will.
std::thread watch_for_ready(const std::string& mount_point, const std::function<void()>& ready) {
    // Signals are the main thread's: its loop has to wake.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    std::thread watcher([mount_point, ready] {
        struct stat mounted {};
        if (::stat(mount_point.c_str(), &mounted) != 0) return;
        raise_readahead(mounted);
        ready();
    });
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return watcher;
}

// Puts bytes into the kernel's cache. Its refusal (the inode is forgotten, memory is short) costs
// nothing but the request that was to be spared.
void store(fuse_session* session, uint64_t inode, uint64_t offset,
           std::span<const std::byte> bytes) {
    fuse_bufvec data = FUSE_BUFVEC_INIT(bytes.size());
    data.buf[0].mem = const_cast<std::byte*>(bytes.data());
    fuse_lowlevel_notify_store(session, inode, static_cast<off_t>(offset), &data,
                               fuse_buf_copy_flags{});
}

// Answers what is still asked when the loop has ended, until nothing waits for an answer.
void stop_neighbours(Neighbours& neighbours, fuse_session* session) {
    pollfd device{fuse_session_fd(session), POLLIN, 0};
    ::fcntl(device.fd, F_SETFL, ::fcntl(device.fd, F_GETFL) | O_NONBLOCK);
    fuse_session_reset(session);
    fuse_buf request{};
    neighbours.stop([&] {
        ::poll(&device, 1, 1);
        if (fuse_session_receive_buf(session, &request) > 0)
            fuse_session_process_buf(session, &request);
    });
    std::free(request.mem);
}

struct Session {
    fuse_session* session;
    explicit Session(fuse_session* made) : session(made) {}
    ~Session() {
        if (session != nullptr) fuse_session_destroy(session);
    }
    Session(const Session&) = delete;
    Session& operator=(const Session&) = delete;
};

}  // namespace

Result<void> serve_mount(Catalog& catalog, WritableDisks* writable, const MountOptions& options,
                         const std::function<void()>& ready) {
    Filesystem filesystem(catalog, writable);
    std::string mount_options = "-onosuid,nodev,default_permissions,fsname=hyperfs,subtype=hyperfs";
    if (writable == nullptr) mount_options += ",ro";
    if (options.allow_other) mount_options += ",allow_other";
    std::string program = "hyperfs";
    char* arguments[] = {program.data(), mount_options.data()};
    fuse_args args = FUSE_ARGS_INIT(2, arguments);
    const fuse_lowlevel_ops& operations = Filesystem::operations();
    Session fuse(fuse_session_new(&args, &operations, sizeof operations, &filesystem));
    fuse_opt_free_args(&args);
    if (fuse.session == nullptr)
        return fail(EINVAL, "{}: FUSE refuses the options", options.mount_point);
    if (fuse_set_signal_handlers(fuse.session) != 0)
        return fail(errno, "signal handlers: {}", errno_text(errno));
    if (fuse_session_mount(fuse.session, options.mount_point.c_str()) != 0) {
        fuse_remove_signal_handlers(fuse.session);
        return fail(EIO, "{}: cannot mount here (is /dev/fuse there, and is the folder yours?)",
                    options.mount_point);
    }
    Neighbours neighbours(catalog.engine(),
                          [&](uint64_t inode, uint64_t offset, std::span<const std::byte> bytes) {
                              store(fuse.session, inode, offset, bytes);
                          });
    filesystem.set_neighbours(neighbours);
    std::thread watcher = watch_for_ready(options.mount_point, ready);
    fuse_loop_config* config = fuse_loop_cfg_create();
    fuse_loop_cfg_set_clone_fd(config, 1);
    fuse_loop_cfg_set_max_threads(config, threads_max);
    fuse_loop_cfg_set_idle_threads(config, threads_max);
    int ended = fuse_session_loop_mt(fuse.session, config);
    fuse_loop_cfg_destroy(config);
    stop_neighbours(neighbours, fuse.session);
    fuse_session_unmount(fuse.session);
    watcher.join();
    fuse_remove_signal_handlers(fuse.session);
    // A signal that asked to stop is a clean end too.
    if (ended < 0)
        return fail(-ended, "{}: serving the mount: {}", options.mount_point, errno_text(-ended));
    return {};
}

}  // namespace hyper
