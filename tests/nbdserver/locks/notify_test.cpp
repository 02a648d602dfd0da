// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/locks/notify.h"

#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "blockengine/base/unique_fd.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

// A service manager that hears what it is told. `name` as in NOTIFY_SOCKET.
class Manager {
  public:
    explicit Manager(const std::string& name)
        : fd_(socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0)) {
        sockaddr_un address{AF_UNIX, {}};
        name.copy(address.sun_path, name.size());
        if (name[0] == '@') address.sun_path[0] = '\0';
        auto length = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + name.size());
        EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), length), 0)
            << errno_text(errno);
        setenv("NOTIFY_SOCKET", name.c_str(), 1);
    }
    ~Manager() { unsetenv("NOTIFY_SOCKET"); }

    // The next message; its descriptors go to `fds`.
    std::string hear(std::vector<UniqueFd>* fds = nullptr) {
        char text[4096];
        alignas(cmsghdr) char control[CMSG_SPACE(253 * sizeof(int))];
        iovec part{text, sizeof text};
        msghdr header{};
        header.msg_iov = &part;
        header.msg_iovlen = 1;
        header.msg_control = control;
        header.msg_controllen = sizeof control;
        ssize_t got = recvmsg(fd_.get(), &header, MSG_CMSG_CLOEXEC);
        if (got < 0) return "";
        for (cmsghdr* at = CMSG_FIRSTHDR(&header); at != nullptr; at = CMSG_NXTHDR(&header, at)) {
            size_t count = (at->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            for (size_t i = 0; i < count; ++i) {
                int fd;
                std::memcpy(&fd, CMSG_DATA(at) + i * sizeof fd, sizeof fd);
                UniqueFd owned(fd);
                if (fds != nullptr) fds->push_back(std::move(owned));
            }
        }
        return {text, static_cast<size_t>(got)};
    }

  private:
    UniqueFd fd_;
};

std::string abstract_name() {
    return fmt::format("@hyper-notify-test-{}", getpid());
}

TEST(NotifyTest, nothing_is_sent_without_a_service_manager) {
    unsetenv("NOTIFY_SOCKET");
    EXPECT_TRUE(notify_ready("serving"));
    EXPECT_TRUE(notify_stopping());
}

TEST(NotifyTest, ready_and_stopping_arrive_at_a_path) {
    test::ScratchDir scratch;
    Manager manager(scratch.path("notify"));
    ASSERT_TRUE(notify_ready("serving 3 exports"));
    EXPECT_EQ(manager.hear(), "READY=1\nSTATUS=serving 3 exports");
    ASSERT_TRUE(notify_stopping());
    EXPECT_EQ(manager.hear(), "STOPPING=1");
}

TEST(NotifyTest, an_abstract_socket_is_reached) {
    Manager manager(abstract_name());
    auto sent = notify_status("fine");
    ASSERT_TRUE(sent) << sent.error().message;
    EXPECT_EQ(manager.hear(), "STATUS=fine");
}

TEST(NotifyTest, reloading_says_since_when) {
    Manager manager(abstract_name());
    timespec before{}, after{};
    clock_gettime(CLOCK_MONOTONIC, &before);
    ASSERT_TRUE(notify_reloading());
    clock_gettime(CLOCK_MONOTONIC, &after);
    std::string said = manager.hear();
    unsigned long long usec = 0;
    ASSERT_EQ(sscanf(said.c_str(), "RELOADING=1\nMONOTONIC_USEC=%llu", &usec), 1) << said;
    EXPECT_GE(usec, before.tv_sec * 1'000'000ULL + before.tv_nsec / 1000);
    EXPECT_LE(usec, after.tv_sec * 1'000'000ULL + after.tv_nsec / 1000);
}

TEST(NotifyTest, a_status_cannot_smuggle_in_another_message) {
    Manager manager(abstract_name());
    ASSERT_TRUE(notify_status("a\nMAINPID=1"));
    EXPECT_EQ(manager.hear(), "STATUS=a MAINPID=1");
}

TEST(NotifyTest, stored_descriptors_arrive_with_their_name) {
    Manager manager(abstract_name());
    int ends[2];
    ASSERT_EQ(pipe(ends), 0);
    UniqueFd one(ends[0]), other(ends[1]);
    ASSERT_TRUE(notify_store("client-7", ends));
    std::vector<UniqueFd> fds;
    EXPECT_EQ(manager.hear(&fds), "FDSTORE=1\nFDNAME=client-7");
    ASSERT_EQ(fds.size(), 2u);
    struct stat sent, got;
    ASSERT_EQ(fstat(ends[1], &sent), 0);
    ASSERT_EQ(fstat(fds[1].get(), &got), 0);
    EXPECT_EQ(sent.st_ino, got.st_ino);
    ASSERT_TRUE(notify_forget("client-7"));
    EXPECT_EQ(manager.hear(), "FDSTOREREMOVE=1\nFDNAME=client-7");
}

TEST(NotifyTest, bad_names_and_counts_of_stored_descriptors_are_refused) {
    Manager manager(abstract_name());
    std::vector<int> fds{0};
    for (const std::string& name :
         {std::string(), std::string("a:b"), std::string("a\nREADY=1"), std::string(256, 'x')})
        EXPECT_EQ(notify_store(name, fds).error().code, EINVAL);
    EXPECT_EQ(notify_store("x", {}).error().code, EINVAL);
    fds.assign(254, 0);
    EXPECT_EQ(notify_store("x", fds).error().code, EINVAL);
    fds.assign(100'000, 0);
    EXPECT_EQ(notify_store("x", fds).error().code, EINVAL);
    fds.assign(253, 0);
    EXPECT_TRUE(notify_store("x", fds));
}

TEST(NotifyTest, odd_socket_names_are_errors) {
    setenv("NOTIFY_SOCKET", "vsock:2:1", 1);
    EXPECT_EQ(notify_stopping().error().code, EPROTONOSUPPORT);
    setenv("NOTIFY_SOCKET", "/", 1);
    EXPECT_EQ(notify_stopping().error().code, EINVAL);
    setenv("NOTIFY_SOCKET", ("/" + std::string(5000, 'x')).c_str(), 1);
    EXPECT_EQ(notify_stopping().error().code, EINVAL);
    setenv("NOTIFY_SOCKET", "/nonexistent/notify", 1);
    EXPECT_EQ(notify_stopping().error().code, ENOENT);
    unsetenv("NOTIFY_SOCKET");
}

}  // namespace
}  // namespace hyper
