// SPDX-License-Identifier: Apache-2.0
// Makes a volume for figure 16: large-volume FOLDER RUNS. A disk of 64 TiB; generation 1 is empty, and in generation 2 so many blocks, each far
// from the next, have other content. Only the index says so: there are no data for it, so that it is made in seconds.
#include <cstdio>
#include <cstdlib>

#include "blockengine/volume/volume_writer.h"

namespace hyper {

namespace {

Result<void> make(const std::string& folder, uint64_t runs) {
    constexpr uint64_t batch_blocks = 256;
    int why = 0;
    Engine engine(make_uring_io(why));
    auto writer = TRY(VolumeWriter::create(engine, folder, {}));
    const VolumeWriter::Commit commit{.size_bytes = disk_bytes_max, .time = 1, .origin = {"large-volume", ""}, .draft_id = ""};
    TRY(writer->commit(commit));
    const uint64_t distance = disk_bytes_max / block_bytes_default / runs;
    uint32_t sequence = 0;
    for (uint64_t first = 0; first < runs; first += batch_blocks) {
        IndexBatch batch;
        BlockRuns list;
        for (uint64_t i = first; i < std::min(runs, first + batch_blocks); ++i) {
            BlockEntry entry{BlockCodec::plain, {1, block_bytes_default, i * block_bytes_default}, xxh3_128(std::as_bytes(std::span(&i, 1)))};
            batch.put_block(i * distance, writer->pending(), entry);
            list.add(i * distance, 1);
        }
        batch.put_runs(writer->pending(), sequence++, list.encode());
        TRY(writer->index().write(batch, false));
    }
    TRY(writer->commit(commit));
    return {};
}

}  // namespace

}  // namespace hyper

int main(int count, char** words) {
    uint64_t runs = count == 3 ? std::strtoull(words[2], nullptr, 10) : 0;
    if (runs == 0) {
        std::fprintf(stderr, "usage: large-volume FOLDER RUNS\n");
        return 2;
    }
    auto made = hyper::make(words[1], runs);
    if (made) return 0;
    std::fprintf(stderr, "large-volume: %s\n", made.error().message.c_str());
    return 1;
}
