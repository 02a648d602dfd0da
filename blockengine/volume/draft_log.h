// SPDX-License-Identifier: Apache-2.0
// The map of a draft on disk: `draft/map`, a log of what was marked, flush by flush (README.md, "Draft").
//
// Design note. A record is appended by one flush at a time, and none is appended before the one before it is on the disk. So
// only the last can be torn, and then nobody was told that it is there: it is dropped. A damaged record with a good one after it
// was acknowledged, and is an error. When the log has become much longer than it need be, the whole map is written to a new
// file, which takes its place.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "blockengine/base/result.h"
#include "blockengine/base/unique_fd.h"
#include "blockengine/file.h"
#include "blockengine/volume/draft_map.h"

namespace hyper {

// What a draft is made upon.
struct DraftIdentity {
    std::array<std::byte, 16> volume{};
    uint32_t base_generation = 0;  // 0: none, it is all zeros
    uint64_t size_bytes = 0;
    bool operator==(const DraftIdentity&) const = default;
};

// Bound to one thread at a time. It writes, but makes nothing durable: its user does, by fd(), folder_fd() and new_fd().
class DraftLog {
  public:
    // Opens folder/map and replays it into `map`, if it is there; else one has to be begun anew. Errors: EINVAL where it is of another
    // draft; EIO where it is damaged.
    static Result<std::unique_ptr<DraftLog>> open(const std::string& folder, const DraftIdentity& identity, Io& io,
                                                  DraftMap& map);
    // Of the draft, chosen when it was begun.
    const std::array<std::byte, 16>& id() const { return id_; }
    bool exists() const { return file_ != nullptr; }
    int fd() const { return file_->fd(); }
    int folder_fd() const { return folder_fd_.get(); }

    // One record. After an error the log is what it was, and it may be tried again. Errors: ENOSPC, EIO.
    Result<void> append(std::span<const SectorRun> changes);

    // Whether it is longer than it need be.
    bool bulky() const { return size_bytes_ >= bulky_bytes_; }
    // Writes the whole map to a new file, which does not count yet: it has to be made durable, by new_fd(), before
    // take_new(), and the folder after that. Errors: ENOSPC, EIO.
    Result<void> write_new(const DraftMap& map);
    int new_fd() const { return new_file_->fd(); }
    Result<void> take_new();
    // No new file, after all, and none for a while.
    void drop_new();

    // Removes the log from the folder, so that it is of no draft any more.
    Result<void> remove();

  private:
    static constexpr uint64_t bulky_bytes_min = 16 << 10;

    DraftLog(std::string folder, UniqueFd folder_fd, const DraftIdentity& identity, Io& io)
        : folder_(std::move(folder)), folder_fd_(std::move(folder_fd)), identity_(identity), io_(io) {}
    std::string path() const { return folder_ + "/map"; }
    std::string new_path() const { return folder_ + "/map.new"; }
    Result<std::shared_ptr<const File>> open_file(const std::string& path, int flags) const;
    Result<void> replay(DraftMap& map);
    Result<void> check_header(std::span<const std::byte> body) const;
    Result<void> apply(std::span<const std::byte> entries, DraftMap& map) const;
    // The body of the record at `offset`, if one is there that is whole and has this sequence number or, where `later`, a higher one.
    Result<bool> read_record(uint64_t offset, uint64_t sequence, bool later, std::vector<std::byte>& body) const;
    Result<bool> anything_after(uint64_t offset, uint64_t sequence) const;
    Result<void> write_record(int fd, uint64_t offset, uint64_t sequence, std::span<const std::byte> body,
                              const std::string& path) const;

    const std::string folder_;
    const UniqueFd folder_fd_;
    const DraftIdentity identity_;
    Io& io_;
    std::array<std::byte, 16> id_{};  // records of other drafts are not its own
    std::shared_ptr<const File> file_, new_file_;
    uint64_t size_bytes_ = 0, sequence_ = 0;  // where, and as what, the next record goes
    uint64_t new_size_bytes_ = 0, new_sequence_ = 0;
    uint64_t bulky_bytes_ = bulky_bytes_min;
};

}  // namespace hyper
