// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/rates.h"

#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <memory>
#include <string>
#include <thread>

#include "blockengine/base/log.h"
#include "tools/hyperctl/size.h"

namespace hyper::ctl {

namespace {

constexpr size_t line_bytes_max = 64;

// False at the end. What is too long is cut.
bool read_line(int fd, std::string& line) {
    line.clear();
    for (char c = 0;;) {
        ssize_t got = ::read(fd, &c, 1);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return !line.empty();
        if (c == '\n') return true;
        if (line.size() < line_bytes_max) line += c;
    }
}

}  // namespace

Result<std::function<uint64_t()>> read_rates(int fd) {
    std::string line;
    if (!read_line(fd, line)) return fail(EINVAL, "--limit-rate -: standard input names no rate");
    auto rate = std::make_shared<std::atomic<uint64_t>>(TRY(parse_size(line)));
    // It waits for lines until the program ends, so nobody waits for it.
    std::thread([fd, rate] {
        for (std::string next; read_line(fd, next);) {
            if (auto read = parse_size(next))
                *rate = *read;
            else
                log_warning("--limit-rate -: {}", read.error().message);
        }
    }).detach();
    return [rate]() -> uint64_t { return *rate; };
}

}  // namespace hyper::ctl
