// SPDX-License-Identifier: Apache-2.0
// A volume as those see it who write it: its draft and, once that is committed, the next one. They do not notice.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "blockengine/volume/block_runs.h"
#include "blockengine/volume/draft.h"

namespace hyper {

// Thread-safe.
class VolumeDisk : public WritableDisk, public std::enable_shared_from_this<VolumeDisk> {
  public:
    explicit VolumeDisk(std::shared_ptr<Draft> draft) : size_bytes_(draft->size_bytes()), draft_(std::move(draft)) {}

    std::shared_ptr<Draft> draft() const;

    std::shared_ptr<const Source> source() override;
    uint64_t size_bytes() const override { return size_bytes_; }
    int fd() const override { return draft()->fd(); }
    Result<void> prepare_write(uint64_t offset, uint64_t length) override;
    void written(uint64_t offset, uint64_t length, int flags, int error) override;
    int durable_write_flags() const override { return 0; }
    Result<void> zero(uint64_t offset, uint64_t length, bool keep_allocated, bool fast) override;
    Result<void> trim(uint64_t offset, uint64_t length) override;
    Result<void> flush() override;

    // From now on it remembers what is written, or no more.
    void remember(bool on);
    // The sectors of the draft that were written since the last call, or since it began to remember. Normal.
    BlockRuns take_written();

    // While one lives nobody writes or flushes: who wants to waits, and who had begun has ended. Reads go on.
    class Pause {
      public:
        explicit Pause(VolumeDisk& disk);
        ~Pause();
        Pause(const Pause&) = delete;
        Pause& operator=(const Pause&) = delete;
        // Reads as the one before it.
        void go_on_with(std::shared_ptr<Draft> next);

      private:
        VolumeDisk& disk_;
    };
    // What was written may be lost: reads go on, and whoever writes or flushes gets this from now on.
    void lose(Error why);
    Result<void> usable() const;

  private:
    class View;
    // Errors: EAGAIN under NoWait while there is a pause; what it was lost by.
    Result<void> enter();
    void leave();
    void note(uint64_t offset, uint64_t length);

    const uint64_t size_bytes_;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::shared_ptr<Draft> draft_;      // guarded by mutex_; changes only in a pause
    unsigned inside_ = 0;               // guarded by mutex_; who writes or flushes
    bool paused_ = false;               // guarded by mutex_
    std::optional<Error> lost_;         // guarded by mutex_
    std::optional<BlockRuns> written_;  // guarded by mutex_; of sectors
};

}  // namespace hyper
