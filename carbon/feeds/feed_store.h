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
    // the profile and the rank look at the last month.
    static constexpr Seconds kept_for = std::chrono::days(45);

    // Records that hold no answer of that kind are left out. See FeedStore.
    static Result<AnswerFile> open(const std::string& path, SignalKind kind);

    // What there was when it was opened, in order; given away.
    std::vector<StoredAnswer> take_answers() { return std::move(answers_); }
    // On the disk on return. A file that has become too long before its time loses its older half.
    Result<void> add(const std::vector<StoredAnswer>& answers);

  private:
    AnswerFile(RecordFile file, SignalKind kind) : file_(std::move(file)), kind_(kind) {}
    // Of `records` those that were received since then, on the disk if any is left out.
    Result<void> keep_since(std::vector<FileRecord>& records, Instant since);

    RecordFile file_;
    SignalKind kind_;
    std::vector<StoredAnswer> answers_;
    Instant oldest_ = Instant::max();  // when the first record was received
};

// Thread-safe.
class FeedStore {
  public:
    // Makes the folder where it is not there. EBUSY where another process has it.
    static Result<std::unique_ptr<FeedStore>> open(const std::string& folder);

    // `feed` and `zone` are names of letters, digits, '-' and '_'; EINVAL for others.
    Result<AnswerFile> open_answers(const std::string& feed, const std::string& zone, SignalKind kind) const;
    // Where the calls of a feed's account are counted (call_limit.h).
    std::string calls_file(const std::string& feed) const { return folder_ + "/" + feed + ".calls"; }

  private:
    FeedStore(std::string folder, UniqueFd lock) : folder_(std::move(folder)), lock_(std::move(lock)) {}
    const std::string folder_;
    const UniqueFd lock_;
};

}  // namespace hyper::carbon
