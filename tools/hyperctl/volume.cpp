// SPDX-License-Identifier: Apache-2.0
#include "tools/hyperctl/volume_command.h"

namespace hyper::ctl {

void add_volume(CLI::App& app, Command& chosen) {
    auto* volume = app.add_subcommand("volume", "Make volumes, tell about their generations, check, prune and delete them");
    volume->require_subcommand(1);
    add_volume_create(*volume, chosen);
    add_volume_list(*volume, chosen);
    add_volume_log(*volume, chosen);
    add_volume_companions(*volume, chosen);
    add_volume_diff(*volume, chosen);
    add_volume_map(*volume, chosen);
    add_volume_verify(*volume, chosen);
    add_volume_repair(*volume, chosen);
    add_volume_prune(*volume, chosen);
    add_volume_pin(*volume, chosen);
    add_volume_rollback(*volume, chosen);
    add_volume_draft(*volume, chosen);
    add_volume_clone(*volume, chosen);
    add_volume_delete(*volume, chosen);
}

}  // namespace hyper::ctl
