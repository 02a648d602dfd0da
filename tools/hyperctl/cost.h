// SPDX-License-Identifier: Apache-2.0
// What the commands below `cost` share.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "scheduler/cost/question.h"
#include "tools/hyperctl/command.h"

namespace hyper::ctl {

// What a command line says is to be priced. Without prices of one's own the built-in ones count.
struct CostOptions {
    std::vector<std::string> price_files;
    std::string from, changed, sent, part_size = "8M", every, keep, disk, sent_before, day;
    int64_t runs = 0;

    void add_to(CLI::App& command);
    Result<scheduler::CostQuestion> question() const;
};

// "12.5 USD", "12.5 USD + 3 EUR"; "0" for nothing.
std::string totals_text(const std::map<std::string, scheduler::Money>& totals);
Json json_of(const scheduler::Estimate& estimate);

void add_cost_import(CLI::App& cost, Command& chosen);
void add_cost_estimate(CLI::App& cost, Command& chosen);
void add_cost_compare(CLI::App& cost, Command& chosen);

}  // namespace hyper::ctl
