// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/feed_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "blockengine/base/log.h"
#include "carbon/feeds/points.h"

namespace hyper::carbon {
namespace {

constexpr size_t head_bytes = 28, step_at = 4, issued_at = 8, start_at = 16, count_at = 24;
// Instants outside are none that a feed has given: 1970 to 2200, in seconds.
constexpr int64_t seconds_max = 7'258'118'400;

std::byte kind_byte(SignalKind kind) { return static_cast<std::byte>(kind == SignalKind::average ? 1 : 2); }

constexpr Seconds prune_every = std::chrono::days(5);

// How many of the first records are older than is kept, as seen from the last.
size_t old_ones(const std::vector<FileRecord>& records) {
    Seconds age{};
    for (size_t i = records.size(); i-- > 1;) {
        Seconds gap = records[i].received_at - records[i - 1].received_at;
        if (gap > Seconds(0) && gap <= AnswerFile::kept_for) age += gap;
        if (age > AnswerFile::kept_for) return i;
    }
    return 0;
}

}  // namespace

bool is_store_name(const std::string& name) {
    return !name.empty() && name.size() <= 64 &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == name.npos;
}

Bytes encode_answer(const StoredAnswer& answer, SignalKind kind) {
    const StepSeries& series = answer.steps.series;
    bool measured = answer.what == StoredAnswer::What::measured;
    Bytes bytes(head_bytes + series.size() * (measured ? 9 : 8));
    bytes[0] = static_cast<std::byte>(answer.what);
    bytes[1] = kind_byte(kind);
    store_le(bytes.data() + step_at, static_cast<uint32_t>(series.step().count()));
    store_le(bytes.data() + issued_at, static_cast<int64_t>(answer.issued_at.time_since_epoch().count()));
    store_le(bytes.data() + start_at, static_cast<int64_t>(series.start().time_since_epoch().count()));
    store_le(bytes.data() + count_at, static_cast<uint32_t>(series.size()));
    for (size_t i = 0; i < series.size(); i++) store_le(bytes.data() + head_bytes + i * 8, series.values()[i]);
    if (measured)
        for (size_t i = 0; i < answer.steps.estimated.size(); i++)
            bytes[head_bytes + series.size() * 8 + i] = static_cast<std::byte>(answer.steps.estimated[i] ? 1 : 0);
    return bytes;
}

Result<StoredAnswer> decode_answer(const FileRecord& record, SignalKind kind) {
    const Bytes& bytes = record.payload;
    if (bytes.size() < head_bytes) return fail(EBADMSG, "an answer of {} bytes", bytes.size());
    auto what = static_cast<uint8_t>(bytes[0]);
    auto step = load_le<uint32_t>(bytes.data() + step_at), count = load_le<uint32_t>(bytes.data() + count_at);
    auto issued = load_le<int64_t>(bytes.data() + issued_at), start = load_le<int64_t>(bytes.data() + start_at);
    if (what != 1 && what != 2) return fail(EBADMSG, "an answer of kind {}", what);
    if (bytes[1] != kind_byte(kind)) return fail(EBADMSG, "an answer of the other signal than {}", signal_name(kind));
    if (count > points_max || bytes.size() != head_bytes + uint64_t{count} * (what == 1 ? 9 : 8))
        return fail(EBADMSG, "{} bytes for {} values", bytes.size(), count);
    if (step < 60 || step > 86'400 || issued < 0 || issued > seconds_max || start < 0 || start > seconds_max)
        return fail(EBADMSG, "an answer with a step of {} s that begins at {}", step, start);
    std::vector<double> values(count);
    for (size_t i = 0; i < count; i++) values[i] = load_le<double>(bytes.data() + head_bytes + i * 8);
    StoredAnswer answer;
    answer.what = static_cast<StoredAnswer::What>(what);
    answer.received_at = record.received_at;
    answer.issued_at = Instant(Seconds(issued));
    answer.steps.series = StepSeries(Instant(Seconds(start)), Seconds(step), std::move(values));
    answer.steps.estimated.resize(count);
    if (what == 1)
        for (size_t i = 0; i < count; i++) answer.steps.estimated[i] = bytes[head_bytes + count * 8 + i] != std::byte{0};
    return answer;
}

Result<AnswerFile> AnswerFile::open(const std::string& path, SignalKind kind) {
    AnswerFile file(TRY(RecordFile::open(path)), kind);
    if (file.file_.damaged_bytes() > 0) log_warning("{}: {} bytes are no whole record and are left out", path, file.file_.damaged_bytes());
    std::vector<FileRecord> records = file.file_.take_records();
    TRY(file.leave_out(records, old_ones(records)));
    if (!records.empty()) file.looked_at_ = records.back().received_at;
    for (const FileRecord& record : records) {
        auto answer = decode_answer(record, kind);
        if (answer) file.answers_.push_back(std::move(*answer));
        else log_warning("{}: {}", path, answer.error().message);
    }
    return file;
}

Result<void> AnswerFile::leave_out(std::vector<FileRecord>& records, size_t count) {
    if (count == 0) return {};
    records.erase(records.begin(), records.begin() + static_cast<std::ptrdiff_t>(count));
    return file_.replace(records);
}

Result<void> AnswerFile::add(const std::vector<StoredAnswer>& answers) {
    if (answers.empty()) return {};
    std::vector<FileRecord> fresh;
    for (const StoredAnswer& answer : answers) fresh.push_back({answer.received_at, encode_answer(answer, kind_)});
    auto added = file_.append(fresh);
    bool full = !added && added.error().code == EFBIG;
    // Either way: the clock may have been put right.
    Instant now = answers.back().received_at;
    bool look = now - looked_at_ >= prune_every || looked_at_ - now >= prune_every;
    if (!full && (!added || !look)) return added;
    looked_at_ = now;
    RecordFile written = TRY(RecordFile::open(file_.path()));
    std::vector<FileRecord> records = written.take_records();
    TRY(leave_out(records, std::max(old_ones(records), full ? records.size() / 2 : 0)));
    return full ? file_.append(fresh) : added;
}

Result<std::unique_ptr<FeedStore>> FeedStore::open(const std::string& folder) {
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail(errno, "{}: make: {}", folder, errno_text(errno));
    UniqueFd lock(::open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) return fail(errno, "{}/lock: open: {}", folder, errno_text(errno));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return fail(EBUSY, "{}: another process has it", folder);
    return std::unique_ptr<FeedStore>(new FeedStore(folder, std::move(lock)));
}

Result<AnswerFile> FeedStore::open_answers(const std::string& feed, const std::string& zone, SignalKind kind) const {
    if (!is_store_name(feed) || !is_store_name(zone))
        return fail(EINVAL, "feed \"{}\", zone \"{}\": are no names", feed.substr(0, 64), zone.substr(0, 64));
    return AnswerFile::open(folder_ + "/" + feed + "-" + zone + ".answers", kind);
}

}  // namespace hyper::carbon
