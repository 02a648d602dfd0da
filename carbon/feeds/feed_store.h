// SPDX-License-Identifier: Apache-2.0
// What feeds have said, kept: every answer with when it was received and issued, so that a restart knows the issues there were and the correction
// learns from them. A file for each feed and zone: FOLDER/FEED-ZONE.answers (record_file.h).
//
//     payload of a record: what it is (1: measured, 2: forecast), which signal (1: average, 2: marginal), 2 zero bytes; step in seconds (4);
//     when it was issued (8; 0 for measured values); when the series begins (8); number of values (4); the values (8 each, NaN for a gap); for
//     measured values a byte each: 1 where it is an estimate.
#pragma once

#include <memory>
#include <vector>

#include "carbon/feeds/feed.h"
#include "carbon/feeds/record_file.h"

namespace hyper::carbon {

struct StoredAnswer {
    enum class What : uint8_t { measured = 1, forecast = 2 };
    What what = What::measured;
    Instant received_at{};
    Instant issued_at{};  // of a forecast
    MeasuredSteps steps;
};

Bytes encode_answer(const StoredAnswer& answer, SignalKind kind);
// EBADMSG for what encode_answer() cannot have made, also for another kind.
Result<StoredAnswer> decode_answer(const FileRecord& record, SignalKind kind);

// Bound to one thread at a time.
class AnswerFile {
  public:
    // What was received so long before the newest is removed, when it is opened and every few days. The correction looks back 30 days, and
    // the profile and the rank look at the last month. A gap that is longer does not count as time: either nothing was received, or a clock was
    // wrong, and then one record of the far future would age all of the others.
    static constexpr Seconds kept_for = std::chrono::days(45);

    // Records that hold no answer of that kind are left out. See FeedStore.
    static Result<AnswerFile> open(const std::string& path, SignalKind kind);

    // What there was when it was opened, in order; given away.
    std::vector<StoredAnswer> take_answers() { return std::move(answers_); }
    // On the disk on return. A file that has become too long before its time loses its older half.
    Result<void> add(const std::vector<StoredAnswer>& answers);

  private:
    AnswerFile(RecordFile file, SignalKind kind) : file_(std::move(file)), kind_(kind) {}
    // Leaves out the first `count` of `records`, on the disk too.
    Result<void> leave_out(std::vector<FileRecord>& records, size_t count);

    RecordFile file_;
    SignalKind kind_;
    std::vector<StoredAnswer> answers_;
    Instant looked_at_{};  // when it was last looked for old records
};

// Of letters, digits, '-' and '_', 64 at most.
bool is_store_name(const std::string& name);

// Thread-safe.
class FeedStore {
  public:
    // Makes the folder where it is not there. EBUSY where another process has it.
    static Result<std::unique_ptr<FeedStore>> open(const std::string& folder);

    // EINVAL where `feed` or `zone` is no is_store_name().
    Result<AnswerFile> open_answers(const std::string& feed, const std::string& zone, SignalKind kind) const;
    const std::string& folder() const { return folder_; }

  private:
    FeedStore(std::string folder, UniqueFd lock) : folder_(std::move(folder)), lock_(std::move(lock)) {}
    const std::string folder_;
    const UniqueFd lock_;
};

}  // namespace hyper::carbon
