// SPDX-License-Identifier: Apache-2.0
#include "nbdserver/watch/control.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <nlohmann/json.hpp>

#include "nbdserver/watch/control_client.h"
#include "tests/support/support.h"

namespace hyper::watch {
namespace {

using Json = nlohmann::json;

class ControlTest : public testing::Test {
  protected:
    void SetUp() override {
        auto started = start();
        ASSERT_TRUE(started) << started.error().message;
        control = std::move(*started);
    }
    Result<std::unique_ptr<Control>> start() {
        return Control::start(path, registry, [] {
            return std::vector<Offered>{{"web01/root", 1 << 20, "a disk", true},
                                        {"", 512, "", false}};
        }, commit);
    }
    Json ask(const std::string& method, const std::string& target) {
        auto body = ask_control(path, method, target);
        EXPECT_TRUE(body) << body.error().message;
        return Json::parse(body ? *body : "null", nullptr, false);
    }
    // The raw answer to raw bytes, after which nothing more is sent.
    std::string exchange(const std::string& bytes) {
        int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        EXPECT_EQ(::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
        for (size_t done = 0; done < bytes.size();) {
            ssize_t sent = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
            if (sent <= 0) break;
            done += static_cast<size_t>(sent);
        }
        ::shutdown(fd, SHUT_WR);
        std::string answer;
        char buffer[4096];
        for (ssize_t got; (got = ::recv(fd, buffer, sizeof buffer, 0)) > 0;)
            answer.append(buffer, static_cast<size_t>(got));
        ::close(fd);
        return answer;
    }
    // What the folder's name asks for.
    static Result<std::optional<Generation>> commit(const std::string& folder, const StoreOptions& options) {
        options.done(4096);
        if (folder == "/volumes/held") return fail(EBUSY, "{}: is being committed already", folder);
        if (folder == "/volumes/untouched") return std::nullopt;
        Generation made;
        made.number = 7;
        return made;
    }
    // The state in which a commit ends.
    Json commit_and_wait(const std::string& folder) {
        Json begun = ask("POST", "/v1/commits/" + path_text(folder));
        std::string target = "/v1/commits/" + begun.value("commit", Json()).dump();
        Json state = ask("GET", target);
        while (state.is_object() && state.value("running", false)) state = ask("GET", target);
        return state;
    }
    static ClientInfo client_of(const std::string& export_name) {
        return {"unix", "root", export_name, true, false};
    }

    test::ScratchDir scratch;
    std::string path = scratch.path("hyper/control.sock");
    Registry registry;
    std::unique_ptr<Control> control;
};

TEST_F(ControlTest, commits_volumes_and_says_what_came_of_it) {
    Json made = commit_and_wait("/volumes/a b");
    EXPECT_EQ(made["generation"], 7);
    EXPECT_EQ(made["done-bytes"], 4096);
    EXPECT_TRUE(made["error"].is_null());
    Json nothing = commit_and_wait("/volumes/untouched");
    EXPECT_TRUE(nothing["generation"].is_null() && nothing["error"].is_null());
    Json held = commit_and_wait("/volumes/held");
    EXPECT_TRUE(held["generation"].is_null());
    EXPECT_EQ(held["error"], "/volumes/held: is being committed already");
    for (size_t i = 0; i < Commits::kept_max; ++i) held = commit_and_wait("/volumes/held");
    EXPECT_EQ(held["commit"], made["commit"].get<uint64_t>() + Commits::kept_max + 2);
    EXPECT_EQ(ask_control(path, "GET", "/v1/commits/" + made["commit"].dump()).error().code, ENOENT);
}

TEST_F(ControlTest, lists_exports_offered_and_opened) {
    auto client = registry.add_client(client_of("web01/root"), [] {});
    auto gone = registry.add_client(client_of("removed"), [] {});
    client->count(Command::read, 4096, 3'000, false);
    Json exports = ask("GET", "/v1/exports")["exports"];
    ASSERT_EQ(exports.size(), 3u);
    EXPECT_EQ(exports[0]["name"], "");
    EXPECT_EQ(exports[0]["read-only"], false);
    EXPECT_EQ(exports[1]["name"], "removed");
    EXPECT_EQ(exports[1]["offered"], false);
    EXPECT_EQ(exports[2]["name"], "web01/root");
    EXPECT_EQ(exports[2]["size"], 1 << 20);
    EXPECT_EQ(exports[2]["description"], "a disk");
    EXPECT_EQ(exports[2]["clients"], 1);
    EXPECT_EQ(exports[2]["statistics"]["read"]["bytes"], 4096);
    EXPECT_EQ(exports[2]["statistics"]["read"]["latency-histogram"], Json::parse("[[4000, 1]]"));
}

TEST_F(ControlTest, shows_an_export_with_its_clients) {
    auto client = registry.add_client(client_of("web01/root"), [] {});
    auto other = registry.add_client(client_of(""), [] {});
    Json shown = ask("GET", "/v1/exports/web01/root");
    EXPECT_EQ(shown["name"], "web01/root");
    ASSERT_EQ(shown["clients-open"].size(), 1u);
    EXPECT_EQ(shown["clients-open"][0]["id"], client->id());
    EXPECT_EQ(shown["clients-open"][0]["tls"], true);
    EXPECT_EQ(ask("GET", "/v1/exports/")["clients-open"][0]["id"], other->id());
}

TEST_F(ControlTest, a_name_of_any_bytes_can_be_asked_for) {
    std::string name = "a b?#%\n\xff/clients";
    auto client = registry.add_client(client_of(name), [] {});
    EXPECT_EQ(ask("GET", "/v1/exports/" + path_text(name))["clients"], 1);
    EXPECT_EQ(ask("DELETE", "/v1/exports/" + path_text(name) + "/clients")["closed"], 1);
}

TEST_F(ControlTest, closes_a_client_or_all_of_an_export) {
    int closed = 0;
    auto a = registry.add_client(client_of("web01/root"), [&] { ++closed; });
    auto b = registry.add_client(client_of("web01/root"), [&] { ++closed; });
    EXPECT_EQ(ask("DELETE", "/v1/clients/" + std::to_string(a->id()))["closed"], 1);
    EXPECT_EQ(closed, 1);
    EXPECT_EQ(ask("DELETE", "/v1/exports/web01/root/clients")["closed"], 2);
    EXPECT_EQ(closed, 3);
    b.reset();
    EXPECT_EQ(ask("GET", "/v1/clients")["clients"].size(), 1u);
}

TEST_F(ControlTest, gives_prometheus_text) {
    auto text = ask_control(path, "GET", "/metrics");
    ASSERT_TRUE(text) << text.error().message;
    EXPECT_NE(text->find("\nhypernbd_clients 0\n"), std::string::npos);
    EXPECT_NE(exchange("GET /metrics HTTP/1.0\r\n\r\n")
                  .find("Content-Type: text/plain; version=0.0.4\r\n"),
              std::string::npos);
}

TEST_F(ControlTest, what_is_not_there_is_404_in_json) {
    for (const char* target : {"/", "/v1", "/v1/export", "/v1/exports/none"}) {
        auto answer = ask_control(path, "GET", target);
        ASSERT_FALSE(answer);
        EXPECT_EQ(answer.error().code, ENOENT) << answer.error().message;
    }
    for (const char* target :
         {"/v1/clients/1", "/v1/clients/", "/v1/clients/1x", "/v1/exports/none/clients"})
        EXPECT_EQ(ask_control(path, "DELETE", target).error().code, ENOENT);
    std::string answer = exchange("GET /none HTTP/1.1\r\nHost: x\r\n\r\n");
    EXPECT_TRUE(answer.starts_with("HTTP/1.1 404 ")) << answer;
    EXPECT_TRUE(Json::parse(answer.substr(answer.find("\r\n\r\n") + 4)).contains("error"));
}

TEST_F(ControlTest, a_wrong_method_is_405_and_told_what_is_allowed) {
    for (const char* line : {"POST /v1/exports", "DELETE /v1/clients", "PUT /metrics",
                             "PATCH /v1/exports/web01/root"}) {
        std::string answer =
            exchange(std::string(line) + " HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}");
        EXPECT_TRUE(answer.starts_with("HTTP/1.1 405 ")) << answer;
        EXPECT_NE(answer.find("\r\nAllow: GET\r\n"), std::string::npos) << answer;
    }
    EXPECT_NE(
        exchange("GET /v1/clients/1 HTTP/1.1\r\nHost: x\r\n\r\n").find("\r\nAllow: DELETE\r\n"),
        std::string::npos);
}

TEST_F(ControlTest, serves_on_after_half_and_huge_requests) {
    exchange("");
    exchange("GET /v1/ex");
    exchange("\r\n\r\n\r\n");
    exchange("GET /v1/exports HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n");
    exchange("GET /" + std::string(1 << 20, 'x') + " HTTP/1.1\r\n\r\n");
    auto with_headers = [&](size_t bytes) {
        std::string request = "GET /v1/exports HTTP/1.1\r\n";
        while (request.size() < bytes) request += "A: " + std::string(100, 'b') + "\r\n";
        return exchange(request + "\r\n");
    };
    EXPECT_TRUE(with_headers(Control::request_bytes_max / 2).starts_with("HTTP/1.1 200"));
    EXPECT_FALSE(with_headers(Control::request_bytes_max + 200).starts_with("HTTP/1.1 200"));
    EXPECT_EQ(ask("GET", "/v1/exports")["exports"].size(), 2u);
}

TEST_F(ControlTest, only_its_user_may_connect_to_the_socket) {
    struct stat status {};
    ASSERT_EQ(::lstat(path.c_str(), &status), 0);
    EXPECT_TRUE(S_ISSOCK(status.st_mode));
    EXPECT_EQ(status.st_mode & 07777, 0600u);
    ASSERT_EQ(::stat(scratch.path("hyper").c_str(), &status), 0);
    EXPECT_EQ(status.st_mode & 07777, 0700u);
}

TEST_F(ControlTest, a_stranger_is_refused_even_where_the_mode_lets_him_in) {
    if (::geteuid() != 0) GTEST_SKIP() << "only root can become a stranger";
    for (const std::string& folder : {scratch.dir().string(), scratch.path("hyper")})
        ASSERT_EQ(::chmod(folder.c_str(), 0755), 0);
    ASSERT_EQ(::chmod(path.c_str(), 0666), 0);
    // Ends with 0 when it was let in and got no answer.
    pid_t stranger = ::fork();
    if (stranger == 0) {
        sockaddr_un address{};
        address.sun_family = AF_UNIX;
        path.copy(address.sun_path, sizeof address.sun_path - 1);
        int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
        char answer[16];
        if (::setuid(65534) != 0 ||
            ::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
            ::_exit(2);
        ::send(fd, "GET /v1/exports HTTP/1.0\r\n\r\n", 28, MSG_NOSIGNAL);
        ::_exit(::recv(fd, answer, sizeof answer, 0) > 0 ? 1 : 0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(stranger, &status, 0), stranger);
    EXPECT_EQ(status, 0);
}

TEST_F(ControlTest, the_socket_goes_with_the_server) {
    control.reset();
    EXPECT_NE(::access(path.c_str(), F_OK), 0);
    EXPECT_EQ(ask_control(path, "GET", "/v1/exports").error().code, ECONNREFUSED);
}

TEST_F(ControlTest, a_second_server_does_not_take_the_socket_of_the_first) {
    auto second = start();
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, EADDRINUSE);
    EXPECT_EQ(ask("GET", "/v1/exports")["exports"].size(), 2u);
}

TEST_F(ControlTest, a_socket_left_by_a_dead_server_is_replaced_and_a_file_is_not) {
    control.reset();
    int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, sizeof address.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    ::close(fd);
    SetUp();
    EXPECT_EQ(ask("GET", "/v1/exports")["exports"].size(), 2u);
    control.reset();
    test::write_file(path, bytes_of_text("data"));
    EXPECT_EQ(start().error().code, EEXIST);
    EXPECT_EQ(test::read_file(path).size(), 4u);
}

}  // namespace
}  // namespace hyper::watch
