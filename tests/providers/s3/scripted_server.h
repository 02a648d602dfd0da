// SPDX-License-Identifier: Apache-2.0
// An HTTP server on 127.0.0.1 that answers what a test wants, also what no real server would: for faults. Each connection has a thread.
#pragma once

#include <fmt/format.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "blockengine/base/unique_fd.h"

namespace hyper::s3 {

struct SeenRequest {
    std::string line;  // "GET /path HTTP/1.1"
    std::string head;  // all of it, with the line
    std::string body;
    std::string header(const std::string& name) const {
        size_t at = head.find("\r\n" + name + ": ");
        if (at == head.npos) return "";
        at += name.size() + 4;
        return head.substr(at, head.find("\r\n", at) - at);
    }
};

class ScriptedServer {
  public:
    // Gives the whole answer, head and body. After a Content-Length that the body does not reach the connection is closed; an empty answer
    // means that none comes, until the server ends.
    using Script = std::function<std::string(const SeenRequest&)>;

    explicit ScriptedServer(Script script) : script_(std::move(script)), listener_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        socklen_t length = sizeof address;
        if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 || listen(listener_.get(), 64) != 0) std::abort();
        getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
        port_ = ntohs(address.sin_port);
        accepting_ = std::thread([this] { accept_all(); });
    }
    ~ScriptedServer() {
        {
            std::lock_guard lock(mutex_);
            for (int fd : open_) shutdown(fd, SHUT_RDWR);
            stopping_ = true;
        }
        shutdown(listener_.get(), SHUT_RDWR);
        accepting_.join();
        for (std::thread& thread : serving_) thread.join();
    }

    std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
    std::vector<SeenRequest> seen() {
        std::lock_guard lock(mutex_);
        return seen_;
    }

    static std::string answer(const std::string& status, const std::string& headers, const std::string& body) {
        return fmt::format("HTTP/1.1 {}\r\nContent-Length: {}\r\n{}\r\n{}", status, body.size(), headers, body);
    }

  private:
    void accept_all() {
        for (;;) {
            int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
            std::lock_guard lock(mutex_);
            if (fd >= 0 && stopping_) close(fd);
            if (fd < 0 || stopping_) return;
            open_.push_back(fd);
            serving_.emplace_back([this, fd] { serve(UniqueFd(fd)); });
        }
    }
    void serve(UniqueFd client) {
        std::string got;
        char buffer[65536];
        for (;;) {
            size_t end;
            while ((end = got.find("\r\n\r\n")) == got.npos) {
                ssize_t n = recv(client.get(), buffer, sizeof buffer, 0);
                if (n <= 0) return leave(client.get());
                got.append(buffer, static_cast<size_t>(n));
            }
            SeenRequest request{got.substr(0, got.find("\r\n")), got.substr(0, end + 2), ""};
            got.erase(0, end + 4);
            std::string length = request.header("Content-Length");
            while (!length.empty() && got.size() < std::stoull(length)) {
                ssize_t n = recv(client.get(), buffer, sizeof buffer, 0);
                if (n <= 0) return leave(client.get());
                got.append(buffer, static_cast<size_t>(n));
            }
            if (!length.empty()) request.body = got.substr(0, std::stoull(length));
            got.erase(0, request.body.size());
            {
                std::lock_guard lock(mutex_);
                seen_.push_back(request);
            }
            std::string reply = script_(request);
            if (reply.empty()) {
                while (recv(client.get(), buffer, sizeof buffer, 0) > 0) {}
                return leave(client.get());
            }
            send(client.get(), reply.data(), reply.size(), MSG_NOSIGNAL);
            size_t at = reply.find("Content-Length: "), body = reply.find("\r\n\r\n") + 4;
            if (at == reply.npos || reply.size() - body != std::stoull(reply.substr(at + 16))) return leave(client.get());
        }
    }
    void leave(int fd) {
        std::lock_guard lock(mutex_);
        std::erase(open_, fd);
    }

    Script script_;
    UniqueFd listener_;
    uint16_t port_ = 0;
    std::mutex mutex_;
    std::vector<SeenRequest> seen_;     // guarded by mutex_
    std::vector<int> open_;             // guarded by mutex_
    std::vector<std::thread> serving_;  // of accepting_, until it has ended
    bool stopping_ = false;             // guarded by mutex_
    std::thread accepting_;
};

}  // namespace hyper::s3
