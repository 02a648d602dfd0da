// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/peer.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>

#include "nbdserver/locks/listen.h"
#include "nbdserver/locks/socket_address.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

// Both ends of a connection to the first socket of `where`.
struct Connection {
    UniqueFd client, server;
};
Connection connect_to(const Listener& listener) {
    sockaddr_storage address{};
    socklen_t length = sizeof address;
    EXPECT_EQ(getsockname(listener.fd(), reinterpret_cast<sockaddr*>(&address), &length), 0);
    Connection made{UniqueFd(socket(address.ss_family, SOCK_STREAM, 0)), {}};
    EXPECT_EQ(connect(made.client.get(), reinterpret_cast<sockaddr*>(&address), length), 0)
        << errno_text(errno);
    made.server.reset(accept(listener.fd(), nullptr, nullptr));
    EXPECT_TRUE(made.server);
    return made;
}

TEST(PeerTest, a_unix_client_has_uid_gid_and_groups_of_its_process) {
    int ends[2];
    ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
    UniqueFd one(ends[0]), other(ends[1]);
    auto peer = peer_of(one.get());
    ASSERT_TRUE(peer) << peer.error().message;
    EXPECT_TRUE(peer->local);
    EXPECT_EQ(peer->uid, geteuid());
    EXPECT_EQ(peer->gid, getegid());
    EXPECT_EQ(peer->address, fmt::format("unix uid {} pid {}", geteuid(), getpid()));
    EXPECT_EQ(peer->origin, fmt::format("unix uid {}", geteuid()));
    EXPECT_EQ(peer->psk_identity, "");
    EXPECT_TRUE(peer->certificate_names.empty());
}

// Connects from a child with these ids.
Peer peer_with_ids(uid_t uid, gid_t gid, const std::vector<gid_t>& groups) {
    int ready[2];
    EXPECT_EQ(pipe(ready), 0);
    UniqueFd hold_read(ready[0]), hold_write(ready[1]);
    // An abstract socket: the child cannot reach into our scratch folder.
    UniqueFd listening(socket(AF_UNIX, SOCK_STREAM, 0));
    sockaddr_un address{AF_UNIX, {}};
    std::string name = fmt::format("hyper-peer-test-{}", getpid());
    name.copy(address.sun_path + 1, name.size());
    auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
    EXPECT_EQ(bind(listening.get(), reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(listen(listening.get(), 1), 0);
    pid_t child = fork();
    if (child == 0) {
        hold_write.reset();
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        if (setgroups(groups.size(), groups.data()) != 0 || setgid(gid) != 0 || setuid(uid) != 0 ||
            connect(fd, reinterpret_cast<sockaddr*>(&address), length) != 0)
            _exit(1);
        char byte;
        _exit(read(hold_read.get(), &byte, 1) == 0 ? 0 : 1);
    }
    UniqueFd server(accept(listening.get(), nullptr, nullptr));
    auto peer = peer_of(server.get());
    EXPECT_TRUE(peer) << peer.error().message;
    hold_write.reset();
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
    return peer ? *peer : Peer{};
}

TEST(PeerTest, another_users_ids_are_that_users) {
    if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    Peer peer = peer_with_ids(1234, 567, {8, 9});
    EXPECT_EQ(peer.uid, 1234u);
    EXPECT_EQ(peer.gid, 567u);
    std::sort(peer.groups.begin(), peer.groups.end());
    EXPECT_EQ(peer.groups, (std::vector<gid_t>{8, 9}));
}

TEST(PeerTest, a_client_of_very_many_groups_has_all_of_them) {
    if (geteuid() != 0) GTEST_SKIP() << "only root can take groups";
    std::vector<gid_t> groups(5000);
    for (size_t i = 0; i < groups.size(); ++i) groups[i] = static_cast<gid_t>(1000 + i);
    Peer peer = peer_with_ids(1234, 567, groups);
    std::sort(peer.groups.begin(), peer.groups.end());
    EXPECT_EQ(peer.groups, groups);
}

TEST(PeerTest, the_id_that_stands_for_unmapped_ones_is_no_id) {
    if (geteuid() != 0) GTEST_SKIP() << "only root can become another user";
    Peer peer = peer_with_ids(65534, 65534, {65534, 7});
    EXPECT_FALSE(peer.uid);
    EXPECT_FALSE(peer.gid);
    EXPECT_EQ(peer.groups, std::vector<gid_t>{7});
}

TEST(PeerTest, a_tcp_client_is_its_address_and_port) {
    auto listeners = listen_network("127.0.0.1:0");
    ASSERT_TRUE(listeners) << listeners.error().message;
    Connection made = connect_to(listeners->front());
    sockaddr_in own{};
    socklen_t length = sizeof own;
    ASSERT_EQ(getsockname(made.client.get(), reinterpret_cast<sockaddr*>(&own), &length), 0);
    auto peer = peer_of(made.server.get());
    ASSERT_TRUE(peer) << peer.error().message;
    EXPECT_EQ(peer->address, fmt::format("127.0.0.1:{}", ntohs(own.sin_port)));
    EXPECT_EQ(peer->origin, "127.0.0.1");
    EXPECT_FALSE(peer->local);
    EXPECT_FALSE(peer->uid);
}

TEST(PeerTest, an_ipv6_client_is_counted_by_its_network) {
    auto listeners = listen_network("[::1]:0");
    if (!listeners) GTEST_SKIP() << listeners.error().message;
    Connection made = connect_to(listeners->front());
    auto peer = peer_of(made.server.get());
    ASSERT_TRUE(peer) << peer.error().message;
    EXPECT_TRUE(peer->address.starts_with("[::1]:")) << peer->address;
    EXPECT_EQ(peer->origin, "::/64");
}

TEST(PeerTest, a_client_that_left_is_an_error) {
    auto listeners = listen_network("127.0.0.1:0");
    ASSERT_TRUE(listeners);
    Connection made = connect_to(listeners->front());
    linger now{1, 0};  // closing resets the connection
    ASSERT_EQ(setsockopt(made.client.get(), SOL_SOCKET, SO_LINGER, &now, sizeof now), 0);
    made.client.reset();
    auto peer = peer_of(made.server.get());
    ASSERT_FALSE(peer);
    EXPECT_EQ(peer.error().code, ENOTCONN);
}

TEST(PeerTest, an_unknown_kind_of_socket_is_refused) {
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    UniqueFd owned(fd);
    EXPECT_FALSE(peer_of(fd));
}

TEST(SocketAddressTest, short_addresses_and_strange_bytes_are_shown_harmlessly) {
    sockaddr_storage address{};
    address.ss_family = AF_INET;
    EXPECT_EQ(address_text(address, 4), "family 2");
    auto& unix_address = reinterpret_cast<sockaddr_un&>(address);
    address.ss_family = AF_UNIX;
    std::memcpy(unix_address.sun_path, "/a\n\x1b[31m", 8);
    EXPECT_EQ(address_text(address, offsetof(sockaddr_un, sun_path) + 3), "unix /a?");
    EXPECT_EQ(address_text(address, sizeof unix_address), "unix /a??[31m");
    EXPECT_EQ(address_text(address, offsetof(sockaddr_un, sun_path)), "unix ");
    std::memset(unix_address.sun_path, 'x', sizeof unix_address.sun_path);
    EXPECT_EQ(address_text(address, sizeof address),
              "unix " + std::string(sizeof unix_address.sun_path, 'x'));
}

TEST(SocketAddressTest, ipv4_in_ipv6s_clothes_is_ipv4) {
    sockaddr_storage address{};
    auto& inet6 = reinterpret_cast<sockaddr_in6&>(address);
    inet6.sin6_family = AF_INET6;
    inet6.sin6_port = htons(77);
    ASSERT_EQ(inet_pton(AF_INET6, "::ffff:192.0.2.7", &inet6.sin6_addr), 1);
    EXPECT_EQ(address_text(address, sizeof inet6), "192.0.2.7:77");
}

}  // namespace
}  // namespace hyper
