// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/listen.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <filesystem>
#include <functional>

#include "tests/support/support.h"

namespace hyper {
namespace {

namespace fs = std::filesystem;
using test::ScratchDir;

struct stat status_of(const std::string& path) {
    struct stat found {};
    EXPECT_EQ(lstat(path.c_str(), &found), 0) << path;
    return found;
}

int connect_error(const std::string& path) {
    UniqueFd fd(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{AF_UNIX, {}};
    path.copy(address.sun_path, path.size());
    return connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 ? 0
                                                                                         : errno;
}

// A socket's path as a server that was killed leaves it.
void leave_stale(const std::string& path) {
    auto listener = listen_unix(path);
    ASSERT_TRUE(listener) << listener.error().message;
    listener->leave_path();
}

int listen_error(const std::string& path) {
    auto listener = listen_unix(path);
    return listener ? 0 : listener.error().code;
}
int network_error(const std::string& where) {
    auto listeners = listen_network(where);
    return listeners ? 0 : listeners.error().code;
}

TEST(ListenTest, a_unix_socket_is_private_close_on_exec_and_non_blocking) {
    ScratchDir scratch;
    auto old_mask = umask(0);
    auto listener = listen_unix(scratch.path("s"));
    umask(old_mask);
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_EQ(status_of(scratch.path("s")).st_mode & 07777, 0600u);
    EXPECT_TRUE(fcntl(listener->fd(), F_GETFD) & FD_CLOEXEC);
    EXPECT_TRUE(fcntl(listener->fd(), F_GETFL) & O_NONBLOCK);
    EXPECT_EQ(listener->text(), "unix " + scratch.path("s"));
    EXPECT_FALSE(listener->remote());
    EXPECT_EQ(connect_error(scratch.path("s")), 0);
}

TEST(ListenTest, the_path_goes_with_the_listener) {
    ScratchDir scratch;
    { ASSERT_TRUE(listen_unix(scratch.path("s"))); }
    EXPECT_FALSE(fs::exists(scratch.path("s")));
}

TEST(ListenTest, a_dead_servers_socket_is_replaced) {
    ScratchDir scratch;
    leave_stale(scratch.path("s"));
    ASSERT_EQ(connect_error(scratch.path("s")), ECONNREFUSED);
    auto listener = listen_unix(scratch.path("s"));
    ASSERT_TRUE(listener) << listener.error().message;
    EXPECT_EQ(connect_error(scratch.path("s")), 0);
}

TEST(ListenTest, a_living_servers_socket_stays) {
    ScratchDir scratch;
    auto living = listen_unix(scratch.path("s"));
    ASSERT_TRUE(living);
    EXPECT_EQ(listen_error(scratch.path("s")), EADDRINUSE);
    EXPECT_EQ(connect_error(scratch.path("s")), 0);
}

TEST(ListenTest, a_server_too_busy_to_accept_is_a_living_one) {
    ScratchDir scratch;
    auto living = listen_unix(scratch.path("s"));
    ASSERT_TRUE(living);
    ASSERT_EQ(listen(living->fd(), 0), 0);
    UniqueFd waiting(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{AF_UNIX, {}};
    scratch.path("s").copy(address.sun_path, sizeof address.sun_path);
    ASSERT_EQ(connect(waiting.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen_error(scratch.path("s")), EADDRINUSE);
}

TEST(ListenTest, a_file_or_link_in_the_way_is_never_removed) {
    ScratchDir scratch;
    test::write_file(scratch.path("file"), bytes_of_text("precious"));
    EXPECT_EQ(listen_error(scratch.path("file")), EEXIST);
    leave_stale(scratch.path("s"));
    fs::create_symlink(scratch.path("s"), scratch.path("link"));
    EXPECT_EQ(listen_error(scratch.path("link")), EEXIST);
    EXPECT_TRUE(fs::exists(scratch.path("file")));
    EXPECT_TRUE(fs::is_symlink(scratch.path("link")));
    EXPECT_TRUE(fs::exists(scratch.path("s")));
}

TEST(ListenTest, a_socket_of_another_type_that_somebody_has_open_stays) {
    ScratchDir scratch;
    UniqueFd datagram(socket(AF_UNIX, SOCK_DGRAM, 0));
    sockaddr_un address{AF_UNIX, {}};
    scratch.path("s").copy(address.sun_path, sizeof address.sun_path);
    ASSERT_EQ(bind(datagram.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    EXPECT_EQ(listen_error(scratch.path("s")), EPROTOTYPE);
    EXPECT_TRUE(fs::exists(scratch.path("s")));
}

TEST(ListenTest, at_the_end_a_path_that_is_another_servers_by_now_stays) {
    ScratchDir scratch;
    auto first = std::make_unique<Listener>(std::move(*listen_unix(scratch.path("s"))));
    fs::remove(scratch.path("s"));
    auto second = listen_unix(scratch.path("s"));
    ASSERT_TRUE(second);
    first.reset();
    EXPECT_EQ(connect_error(scratch.path("s")), 0);
}

TEST(ListenTest, a_taken_over_socket_can_be_given_its_path) {
    ScratchDir scratch;
    auto old = listen_unix(scratch.path("s"));
    ASSERT_TRUE(old);
    {
        auto successor = Listener::adopt(UniqueFd(dup(old->fd())), "nbd");
        ASSERT_TRUE(successor) << successor.error().message;
        EXPECT_EQ(successor->text(), "unix " + scratch.path("s"));
        EXPECT_EQ(successor->path(), "");
        test::write_file(scratch.path("other"), {});
        EXPECT_FALSE(successor->own_path(scratch.path("other")));
        auto another = listen_unix(scratch.path("another"));
        EXPECT_FALSE(successor->own_path(scratch.path("another")));
        ASSERT_TRUE(successor->own_path(scratch.path("s")));
        old->leave_path();
    }
    EXPECT_FALSE(fs::exists(scratch.path("s")));
}

TEST(ListenTest, a_path_too_long_is_refused_not_cut) {
    ScratchDir scratch;
    EXPECT_EQ(listen_error(scratch.path(std::string(108, 'x'))), ENAMETOOLONG);
    EXPECT_EQ(listen_error(""), EINVAL);
    EXPECT_EQ(listen_error(std::string("a\0b", 3)), EINVAL);
}

TEST(ListenTest, a_folder_that_is_not_there_is_named) {
    ScratchDir scratch;
    auto listener = listen_unix(scratch.path("none/s"));
    ASSERT_FALSE(listener);
    EXPECT_EQ(listener.error().code, ENOENT);
    EXPECT_NE(listener.error().message.find("none"), std::string::npos);
}

TEST(ListenTest, the_folder_is_locked_while_a_socket_is_made) {
    ScratchDir scratch;
    UniqueFd folder(open(scratch.dir().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(flock(folder.get(), LOCK_EX), 0);
    EXPECT_EQ(listen_error(scratch.path("s")), EAGAIN);
    ASSERT_EQ(flock(folder.get(), LOCK_UN), 0);
    EXPECT_EQ(listen_error(scratch.path("s")), 0);
}

TEST(ListenTest, tcp_sockets_hand_on_their_options) {
    auto listeners = listen_network("127.0.0.1:0");
    ASSERT_TRUE(listeners) << listeners.error().message;
    const Listener& listener = listeners->front();
    EXPECT_TRUE(listener.remote());
    EXPECT_TRUE(listener.text().starts_with("127.0.0.1:"));
    EXPECT_NE(listener.text(), "127.0.0.1:0");
    EXPECT_TRUE(fcntl(listener.fd(), F_GETFD) & FD_CLOEXEC);
    EXPECT_TRUE(fcntl(listener.fd(), F_GETFL) & O_NONBLOCK);
}

TEST(ListenTest, a_name_of_several_addresses_gets_a_socket_for_each) {
    auto listeners = listen_network("localhost:0");
    ASSERT_TRUE(listeners) << listeners.error().message;
    for (const Listener& listener : *listeners)
        EXPECT_TRUE(listener.text().starts_with("127.") || listener.text().starts_with("[::1]:"))
            << listener.text();
}

TEST(ListenTest, ipv4_and_ipv6_have_a_socket_each_at_one_port) {
    auto six = listen_network("[::]:0");
    if (!six) GTEST_SKIP() << six.error().message;
    std::string port = six->front().text().substr(six->front().text().rfind(':'));
    auto four = listen_network("0.0.0.0" + port);
    EXPECT_TRUE(four) << four.error().message;
}

TEST(ListenTest, a_port_in_use_is_an_error) {
    auto first = listen_network("127.0.0.1:0");
    ASSERT_TRUE(first);
    EXPECT_EQ(network_error(first->front().text()), EADDRINUSE);
}

TEST(ListenTest, malformed_addresses_are_refused) {
    for (const char* where :
         {"", ":", ":1", "1.2.3.4", "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:-1", "127.0.0.1:+1",
          "127.0.0.1:1x", "127.0.0.1: 1", "::1:80", "[]:80", "vsock:", "vsock:x", "vsock:1:x",
          "vsock:x:1", "vsock:4294967296", "vsock:-1"})
        EXPECT_EQ(network_error(where), EINVAL) << where;
    EXPECT_EQ(network_error("no-such-host.invalid:1"), ENOENT);
}

TEST(ListenTest, vsock_listens_for_every_cid) {
    UniqueFd probe(socket(AF_VSOCK, SOCK_STREAM, 0));
    if (!probe) GTEST_SKIP() << "there is no vsock here";
    auto listeners = listen_network("vsock:52125");
    ASSERT_TRUE(listeners) << listeners.error().message;
    EXPECT_EQ(listeners->front().text(), "vsock any:52125");
    EXPECT_TRUE(listeners->front().remote());
}

// --- socket activation, in a child, since it is about the process's own environment and
// descriptors

int in_child(const std::function<int()>& body) {
    pid_t child = fork();
    if (child == 0) _exit(body());
    int status = 0;
    waitpid(child, &status, 0);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void set_environment(const std::string& pid, const std::string& count, const char* names) {
    setenv("LISTEN_PID", pid.c_str(), 1);
    setenv("LISTEN_FDS", count.c_str(), 1);
    unsetenv("LISTEN_FDNAMES");
    if (names != nullptr) setenv("LISTEN_FDNAMES", names, 1);
}

// Puts the sockets at 3, 4, ... and closes what was above.
void place(std::vector<int> fds) {
    for (int& fd : fds) fd = fcntl(fd, F_DUPFD, 100);
    for (size_t i = 0; i < fds.size(); ++i) dup2(fds[i], static_cast<int>(3 + i));
    for (int fd = static_cast<int>(3 + fds.size()); fd < 200; ++fd) close(fd);
}

TEST(InheritedTest, listeners_come_with_their_names_and_flags) {
    ScratchDir scratch;
    auto first = listen_unix(scratch.path("a"));
    auto second = listen_network("127.0.0.1:0");
    ASSERT_TRUE(first && second);
    EXPECT_EQ(in_child([&] {
                  place({first->fd(), second->front().fd()});
                  fcntl(3, F_SETFL, 0);
                  set_environment(std::to_string(getpid()), "2", "private:public");
                  auto got = take_inherited();
                  if (!got || got->listeners.size() != 2 || !got->stored.empty()) return 1;
                  if (got->listeners[0].name() != "private" || got->listeners[1].name() != "public")
                      return 2;
                  if (got->listeners[0].text() != "unix " + scratch.path("a")) return 3;
                  if (got->listeners[0].remote() || !got->listeners[1].remote()) return 4;
                  for (int fd : {3, 4})
                      if (!(fcntl(fd, F_GETFD) & FD_CLOEXEC) || !(fcntl(fd, F_GETFL) & O_NONBLOCK))
                          return 5;
                  return 0;
              }),
              0);
}

TEST(InheritedTest, the_environment_is_not_passed_on) {
    EXPECT_EQ(
        in_child([] {
            set_environment(std::to_string(getpid()), "0", "x");
            if (!take_inherited()) return 1;
            return getenv("LISTEN_PID") || getenv("LISTEN_FDS") || getenv("LISTEN_FDNAMES") ? 2 : 0;
        }),
        0);
}

TEST(InheritedTest, what_is_for_another_process_is_not_taken) {
    ScratchDir scratch;
    auto listener = listen_unix(scratch.path("a"));
    EXPECT_EQ(in_child([&] {
                  place({listener->fd()});
                  for (const char* pid : {"1", "", "x", "-1"}) {
                      set_environment(pid, "1", nullptr);
                      auto got = take_inherited();
                      if (!got || !got->listeners.empty()) return 1;
                  }
                  return fcntl(3, F_GETFD) >= 0 ? 0 : 2;
              }),
              0);
}

TEST(InheritedTest, a_path_given_by_the_service_manager_is_not_removed) {
    ScratchDir scratch;
    auto listener = listen_unix(scratch.path("a"));
    EXPECT_EQ(in_child([&] {
                  place({listener->fd()});
                  set_environment(std::to_string(getpid()), "1", nullptr);
                  { auto got = take_inherited(); }
                  return fs::exists(scratch.path("a")) ? 0 : 1;
              }),
              0);
}

TEST(InheritedTest, contradictions_are_errors) {
    ScratchDir scratch;
    auto listener = listen_unix(scratch.path("a"));
    auto refused = [&](const char* count, const char* names) {
        return in_child([&] {
            place({listener->fd()});
            set_environment(std::to_string(getpid()), count, names);
            auto got = take_inherited();
            return !got && got.error().code == EINVAL ? 0 : 1;
        });
    };
    EXPECT_EQ(refused("2", nullptr), 0);
    EXPECT_EQ(refused("-1", nullptr), 0);
    EXPECT_EQ(refused("one", nullptr), 0);
    EXPECT_EQ(refused("2147483647", nullptr), 0);
    EXPECT_EQ(refused("99999999999999999999", nullptr), 0);
    EXPECT_EQ(refused("1", "a:b"), 0);
}

TEST(InheritedTest, what_does_not_listen_is_kept_apart) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    UniqueFd one(ends[0]), other(ends[1]), file(open("/dev/null", O_RDWR | O_CLOEXEC));
    EXPECT_EQ(in_child([&] {
                  place({one.get(), file.get()});
                  set_environment(std::to_string(getpid()), "2", "client:state");
                  auto got = take_inherited();
                  if (!got || !got->listeners.empty() || got->stored.size() != 2) return 1;
                  if (got->stored[0].name != "client" || got->stored[1].name != "state") return 2;
                  return got->stored[1].fd.get() == 4 && (fcntl(4, F_GETFD) & FD_CLOEXEC) ? 0 : 3;
              }),
              0);
}

TEST(InheritedTest, what_is_no_stream_is_refused_as_listener) {
    UniqueFd packets(socket(AF_UNIX, SOCK_SEQPACKET, 0));
    ASSERT_EQ(listen(packets.get(), 1), -1) << "it has no name yet";
    sockaddr_un autobind{AF_UNIX, {}};
    ASSERT_EQ(bind(packets.get(), reinterpret_cast<sockaddr*>(&autobind), sizeof(sa_family_t)), 0);
    ASSERT_EQ(listen(packets.get(), 1), 0);
    EXPECT_FALSE(Listener::adopt(std::move(packets), "x"));
    UniqueFd datagram(socket(AF_UNIX, SOCK_DGRAM, 0));
    EXPECT_FALSE(Listener::adopt(std::move(datagram), "x"));
    EXPECT_FALSE(Listener::adopt(UniqueFd(open("/dev/null", O_RDONLY)), "x"));
}

}  // namespace
}  // namespace hyper
