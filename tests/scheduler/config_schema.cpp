// SPDX-License-Identifier: Apache-2.0
// Prints the schema of the configuration, or says of each file named on standard input whether it is read: "good" or the error.
#include <cstdio>
#include <iostream>

#include "scheduler/jobs/config.h"

int main(int argc, char**) {
    using namespace hyper::scheduler;
    if (argc < 2) {
        std::puts(config_schema().c_str());
        return 0;
    }
    for (std::string path; std::getline(std::cin, path);) {
        auto config = read_config(path);
        std::puts(config ? "good" : config.error().message.c_str());
    }
}
