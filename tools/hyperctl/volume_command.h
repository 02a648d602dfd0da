// SPDX-License-Identifier: Apache-2.0
// The commands below `hyperctl volume`: a file a command, as those of command.h.
#pragma once

#include "tools/hyperctl/command.h"

namespace hyper::ctl {

void add_volume_create(CLI::App& volume, Command& chosen);
void add_volume_list(CLI::App& volume, Command& chosen);
void add_volume_log(CLI::App& volume, Command& chosen);
void add_volume_companions(CLI::App& volume, Command& chosen);
void add_volume_diff(CLI::App& volume, Command& chosen);
void add_volume_map(CLI::App& volume, Command& chosen);
void add_volume_verify(CLI::App& volume, Command& chosen);
void add_volume_repair(CLI::App& volume, Command& chosen);
void add_volume_prune(CLI::App& volume, Command& chosen);
// pin and unpin.
void add_volume_pin(CLI::App& volume, Command& chosen);
void add_volume_rollback(CLI::App& volume, Command& chosen);
// commit and discard.
void add_volume_draft(CLI::App& volume, Command& chosen);
void add_volume_clone(CLI::App& volume, Command& chosen);
void add_volume_delete(CLI::App& volume, Command& chosen);

}  // namespace hyper::ctl
