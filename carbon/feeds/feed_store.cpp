// SPDX-License-Identifier: Apache-2.0
#include "carbon/feeds/feed_store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>

#include "blockengine/base/log.h"
#include "carbon/feeds/points.h"

namespace hyper::carbon {
namespace {

constexpr size_t head_bytes = 28, step_at = 4, issued_at = 8, start_at = 16, count_at = 24;
// Instants outside are none that a feed has given: 1970 to 2200, in seconds.
constexpr int64_t seconds_max = 7'258'118'400;

std::byte kind_byte(SignalKind kind) { return static_cast<std::byte>(kind == SignalKind::average ? 1 : 2); }

bool is_name(const std::string& name) {
    return !name.empty() && name.size() <= 64 &&
           name.find_first_not_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == name.npos;
}

// How much older than kept_for the first record may become before the file is written anew.
constexpr Seconds prune_every = std::chrono::days(5);

}  // namespace

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
    if (!records.empty()) TRY(file.keep_since(records, records.back().received_at - kept_for));
    for (const FileRecord& record : records) {
        auto answer = decode_answer(record, kind);
        if (answer) file.answers_.push_back(std::move(*answer));
        else log_warning("{}: {}", path, answer.error().message);
    }
    return file;
}

Result<void> AnswerFile::keep_since(std::vector<FileRecord>& records, Instant since) {
    if (std::erase_if(records, [&](const FileRecord& record) { return record.received_at < since; }) > 0) TRY(file_.replace(records));
    oldest_ = records.empty() ? Instant::max() : records.front().received_at;
    return {};
}

Result<void> AnswerFile::add(const std::vector<StoredAnswer>& answers) {
    if (answers.empty()) return {};
    std::vector<FileRecord> fresh;
    for (const StoredAnswer& answer : answers) fresh.push_back({answer.received_at, encode_answer(answer, kind_)});
    Instant now = answers.back().received_at;
    bool old = oldest_ < now - kept_for - prune_every;
    auto added = old ? Result<void>() : file_.append(fresh);
    if (old || (!added && added.error().code == EFBIG)) {
        RecordFile written = TRY(RecordFile::open(file_.path()));
        std::vector<FileRecord> records = written.take_records();
        Instant half = records.empty() ? now : records[records.size() / 2].received_at;
        TRY(keep_since(records, old ? now - kept_for : half));
        added = file_.append(fresh);
    }
    if (added) oldest_ = std::min(oldest_, fresh.front().received_at);
    return added;
}

Result<std::unique_ptr<FeedStore>> FeedStore::open(const std::string& folder) {
    if (::mkdir(folder.c_str(), 0700) != 0 && errno != EEXIST) return fail(errno, "{}: make: {}", folder, errno_text(errno));
    UniqueFd lock(::open((folder + "/lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
    if (!lock) return fail(errno, "{}/lock: open: {}", folder, errno_text(errno));
    if (::flock(lock.get(), LOCK_EX | LOCK_NB) != 0) return fail(EBUSY, "{}: another process has it", folder);
    return std::unique_ptr<FeedStore>(new FeedStore(folder, std::move(lock)));
}

Result<AnswerFile> FeedStore::open_answers(const std::string& feed, const std::string& zone, SignalKind kind) const {
    if (!is_name(feed) || !is_name(zone)) return fail(EINVAL, "feed \"{}\", zone \"{}\": are no names", feed.substr(0, 64), zone.substr(0, 64));
    return AnswerFile::open(folder_ + "/" + feed + "-" + zone + ".answers", kind);
}

}  // namespace hyper::carbon
