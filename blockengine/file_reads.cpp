// SPDX-License-Identifier: Apache-2.0
#include "blockengine/file_reads.h"

#include <cerrno>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "blockengine/base/bytes.h"

namespace hyper {

namespace {

tl::unexpected<Error> failed_read(const File& file, uint64_t offset, size_t bytes, int error) {
    return fail(read_error_code(error), "{}: read {} bytes at offset {}: {}", file.path(), bytes, offset,
                range_within(offset, bytes, file.size_bytes()) ? errno_text(error) : "past the end of the file");
}

// How far reads that were begun have gone. Whoever ends the last of them holds it, so it may outlive who waits.
class Waiter {
  public:
    explicit Waiter(size_t reads) : left_(reads) {}

    void ended(const std::string& path, uint64_t offset, size_t bytes, Result<void> result) {
        std::lock_guard lock(mutex_);
        if (!result && !failure_)
            failure_ = Error{read_error_code(result.error().code), fmt::format("{}: read {} bytes at offset {}: {}", path, bytes,
                                                                               offset, result.error().message)};
        if (--left_ == 0) all_ended_.notify_all();
    }
    Result<void> wait() {
        std::unique_lock lock(mutex_);
        all_ended_.wait(lock, [this] { return left_ == 0; });
        if (failure_) return tl::unexpected(std::move(*failure_));
        return {};
    }

  private:
    std::mutex mutex_;
    std::condition_variable all_ended_;
    size_t left_;                   // guarded by mutex_
    std::optional<Error> failure_;  // guarded by mutex_; the first
};

}  // namespace

void FarReads::begin() {
    for (auto& [reader, reads] : by_reader_) reader->begin(std::move(reads));
    by_reader_.clear();
}

void FileReads::add(const File& file, uint64_t offset, std::span<std::byte> buffer) {
    if (file.far_reader() != nullptr) {
        far_.push_back({&file, offset, buffer});
    } else {
        local_.push_back({file.fd(), offset, buffer, 0});
        local_files_.push_back(&file);
    }
}

Result<void> FileReads::run() {
    if (far_.empty()) return run_local();
    for (const FarOp& op : far_)
        if (!range_within(op.offset, op.buffer.size(), op.file->size_bytes()))
            return failed_read(*op.file, op.offset, op.buffer.size(), EIO);
    return no_wait_asked() ? take_at_hand() : run_far();
}

Result<void> FileReads::run_local() {
    if (!local_.empty()) io_.read(local_);
    for (size_t i = 0; i < local_.size(); ++i)
        if (local_[i].error != 0)
            return failed_read(*local_files_[i], local_[i].offset, local_[i].buffer.size(), local_[i].error);
    return {};
}

// The local reads take place while the far ones are under way.
Result<void> FileReads::run_far() {
    auto waiter = std::make_shared<Waiter>(far_.size());
    FarReads reads;
    for (const FarOp& op : far_)
        reads.add(*op.file, {op.offset, op.buffer, [waiter, op](Result<void> result) {
                                 waiter->ended(op.file->path(), op.offset, op.buffer.size(), std::move(result));
                             }});
    reads.begin();
    auto local = run_local();
    auto far = waiter->wait();
    return local ? far : local;
}

Result<void> FileReads::take_at_hand() {
    Result<void> result = run_local();
    for (const FarOp& op : far_) {
        FarReader& reader = *op.file->far_reader();
        auto at_hand = reader.read_at_hand(op.offset, op.buffer);
        if (at_hand == FarReader::AtHand::yes) continue;
        if (at_hand == FarReader::AtHand::no) reader.will_need(op.offset, op.buffer.size());
        if (result) result = failed_read(*op.file, op.offset, op.buffer.size(), EAGAIN);
    }
    return result;
}

Result<void> read_file(Io& io, const File& file, uint64_t offset, std::span<std::byte> buffer) {
    if (FarReader* far = file.far_reader(); far != nullptr) {
        bool within = range_within(offset, buffer.size(), file.size_bytes());
        if (within && far->read_at_hand(offset, buffer) == FarReader::AtHand::yes) return {};
        FileReads reads(io);
        reads.add(file, offset, buffer);
        return reads.run();
    }
    ReadOp op{file.fd(), offset, buffer, 0};
    io.read({&op, 1});
    if (op.error != 0) return failed_read(file, offset, buffer.size(), op.error);
    return {};
}

}  // namespace hyper
