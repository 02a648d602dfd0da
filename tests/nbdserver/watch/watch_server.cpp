// SPDX-License-Identifier: Apache-2.0
// For tests of hyperctl: a control socket with two exports and three clients that are asked to end:
// watch_server SOCKET. Ends when its standard input does.
#include <unistd.h>

#include <cstdio>

#include "nbdserver/watch/control.h"

using namespace hyper;
using namespace hyper::watch;

int main(int argc, char** argv) {
    if (argc != 2) return 2;
    Registry registry;
    std::vector<std::unique_ptr<OpenClient>> clients;
    for (const char* name : {"web01", "web01", "db01"}) {
        clients.push_back(
            registry.add_client({"unix pid 17 uid 1000", "backup", name, true, false}, [name] {
                std::printf("close %s\n", name);
                std::fflush(stdout);
            }));
        for (uint64_t i = 0; i < 100; ++i)
            clients.back()->count(Command::read, 65536, 50'000 + i * 1000, i == 99);
    }
    auto control = Control::start(argv[1], registry, [] {
        return std::vector<Offered>{{"web01", uint64_t{10} << 30, "raw disk", true},
                                    {"db01", 4096, "", false}};
    });
    if (!control) {
        std::fprintf(stderr, "%s\n", control.error().message.c_str());
        return 1;
    }
    char end;
    while (::read(STDIN_FILENO, &end, 1) > 0) {
    }
    return 0;
}
