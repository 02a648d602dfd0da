// SPDX-License-Identifier: Apache-2.0
// Brings a volume to a new generation from a source: reads what changed where the source knows that, else everything, and stores what
// really differs.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "blockengine/change_map.h"
#include "blockengine/source.h"
#include "blockengine/volume/store_blocks.h"
#include "blockengine/volume/volume_writer.h"

namespace hyper {

// A disk to be synced, at one of its states.
struct SyncSource {
    std::shared_ptr<const Source> source;
    std::string name;                          // which disk it is, for ever, where `changes` does not say: "file:/images/web01.qcow2"
    std::shared_ptr<const ChangeMap> changes;  // nullptr where it keeps no track
    std::vector<CompanionContent> companions{};
};

struct SyncOptions {
    bool compare_all = false;  // whatever the source knows
    bool trust = false;        // believe the source again, after its tracking was found wrong
    // Of blocks that the source says are unchanged, so many are read all the same.
    unsigned sampled_blocks = 16;
    uint64_t sample_seed = 0;  // 0: another each time
    unsigned threads = 2;
    ReadLimits limits;
    int64_t time = 0;  // of the generation; 0: now
    std::string run{};  // of the generation
    // What is to be looked at, told once before the first byte; then, how much of it is done.
    std::function<void(uint64_t total_bytes)> planned;
    std::function<void(uint64_t bytes)> done;
    std::function<bool()> stop;
};

struct SyncReport {
    Generation generation;
    bool compared_all = false;
    std::string why_all;            // why everything was compared
    bool resumed = false;           // an interrupted run had begun it
    uint64_t reported_bytes = 0;    // that the source said had changed
    uint64_t looked_at_bytes = 0;
    StoreCounts counts;
    unsigned sampled_blocks = 0;
    double seconds = 0;
};

// On error the pending generation keeps what was stored, and the next sync goes on from there; ECANCELED where options.stop said so.
Result<SyncReport> sync_volume(VolumeWriter& writer, const SyncSource& source, const SyncOptions& options);

}  // namespace hyper
