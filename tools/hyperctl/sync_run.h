// SPDX-License-Identifier: Apache-2.0
// A sync as the command line sees it: with progress and a report. For sync and clone.
#pragma once

#include "blockengine/volume/sync.h"
#include "tools/hyperctl/operand.h"

namespace hyper::ctl {

struct SyncShown {
    std::string volume;  // as the user wrote it
    bool progress = false, json = false;
    Json* collected = nullptr;  // where the JSON goes instead of being printed
};

// Sets options' planned, done and stop. Gives the exit code; an interrupted sync is one that has said what it kept.
Result<int> run_sync(VolumeWriter& writer, const SyncSource& source, SyncOptions options, const SyncShown& shown);

// What belongs to a disk, but for what a volume cannot keep, which is logged.
Result<std::vector<CompanionContent>> companions_to_keep(const Image& image);

// The disk of an operand, and what is known of its changes. Errors: EINVAL for a view.
Result<SyncSource> sync_source_of(const Operand& operand);

}  // namespace hyper::ctl
