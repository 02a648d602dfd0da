// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/upload.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <random>
#include <thread>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/base/sha256.h"
#include "providers/s3/digest.h"
#include "providers/s3/failures.h"
#include "providers/s3/object.h"

namespace hyper::s3 {

namespace {

constexpr uint64_t parts_max = 10'000, part_bytes_min = 16 * MiB, part_bytes_max = 5 * GiB, in_memory_bytes_max = 256 * MiB;
constexpr uint64_t threads_max = 4;
constexpr int attempts_max = 6;
constexpr int64_t ms_ns = 1'000'000;
// Of a call: what it takes at a rate that is slow, and a minute besides.
constexpr int64_t call_ms = 60'000;
constexpr uint64_t slow_bytes_per_ms = 128;
constexpr uint32_t wait_ms_first = 200, wait_ms_max = 20'000;
constexpr size_t listing_bytes_max = 16 * MiB;

bool asked(const std::function<bool()>& stop) { return stop && stop(); }

// Full jitter: any time up to one that doubles, so that those who failed together do not come again together.
uint32_t wait_ms(int attempt, uint32_t retry_after_ms) {
    thread_local std::minstd_rand random{std::random_device{}()};
    uint32_t top = std::min(wait_ms_max, wait_ms_first << attempt);
    return retry_after_ms + std::uniform_int_distribution<uint32_t>(0, top)(random);
}

void wait(uint32_t ms, const std::function<bool()>& stop) {
    int64_t until = monotonic_ns() + ms * ms_ns;
    while (monotonic_ns() < until && !asked(stop)) std::this_thread::sleep_for(std::chrono::milliseconds(std::min<uint32_t>(ms, 50)));
}

bool is_md5(const std::string& etag) {
    return etag.size() == 34 && etag.front() == '"' && std::all_of(etag.begin() + 1, etag.end() - 1, [](char c) { return isxdigit(static_cast<unsigned char>(c)); });
}

std::string etag_of(const Md5& hash) { return "\"" + md5_text(hash) + "\""; }

// A part as it is to be.
struct Wanted {
    Bytes bytes;
    Sha256 sha256;
    Md5 md5;

    std::string sha256_text() const { return base64_of(sha256); }
    bool is(const Part& part) const {
        if (part.size_bytes != bytes.size()) return false;
        return part.sha256.empty() ? part.etag == etag_of(md5) : part.sha256 == sha256_text();
    }
};

}  // namespace

uint64_t part_bytes_of(uint64_t size_bytes) {
    uint64_t bytes = std::max(part_bytes_min, round_up(divide_up(size_bytes, parts_max), MiB));
    return bytes <= part_bytes_max ? bytes : 0;
}

// One upload() under way.
class UploadRun {
  public:
    UploadRun(Uploader& uploader, const UploadContent& content, const UploadHooks& hooks)
        : uploader_(uploader), content_(content), hooks_(hooks), text_(uploader.client()->place().text()),
          part_bytes_(part_bytes_of(content.size_bytes)) {}

    Outcome<Uploaded> run(const std::string& upload_id) {
        if (content_.size_bytes == 0) return failed(HYPER_BAD_CONFIGURATION, text_ + ": there is nothing to upload");
        if (part_bytes_ == 0)
            return failed(HYPER_BAD_CONFIGURATION, fmt::format("{}: {} bytes are more than {} parts of {} bytes", text_, content_.size_bytes,
                                                               parts_max, part_bytes_max));
        if (auto begun = begin(upload_id); !begun) return tl::unexpected(begun.error());
        parts_.resize(divide_up(content_.size_bytes, part_bytes_));
        md5s_.resize(parts_.size());
        send_all();
        if (failure_) return tl::unexpected(*failure_);
        return complete();
    }

  private:
    Outcome<void> begin(const std::string& upload_id) {
        if (!upload_id.empty()) {
            auto there = list_parts(upload_id);
            if (there) id_ = upload_id;
            if (there || there.error().kind != HYPER_SNAPSHOT_GONE) return there;
        }
        Call call = uploader_.call("POST", {{"uploads", ""}});
        call.headers = {{"content-type", "application/octet-stream"}, {"x-amz-checksum-algorithm", "SHA256"}};
        auto answer = uploader_.ask(call, "", text_ + ": begin an upload", hooks_.stop);
        if (!answer) return tl::unexpected(answer.error());
        auto id = s3::upload_id(answer->text);
        if (!id) return failed(id.error().kind, text_ + ": begin an upload: " + id.error().message);
        id_ = *id;
        if (hooks_.begun) hooks_.begun(id_);
        return {};
    }

    Outcome<void> list_parts(const std::string& upload_id) {
        uint32_t after = 0;
        do {
            Parameters query{{"uploadId", upload_id}};
            if (after != 0) query.emplace_back("part-number-marker", std::to_string(after));
            std::string what = text_ + ": list the parts of the upload";
            auto answer = uploader_.ask(uploader_.call("GET", query), "", what, hooks_.stop);
            if (!answer) return tl::unexpected(answer.error());
            auto listed = part_listing(answer->text);
            if (!listed) return failed(listed.error().kind, what + ": " + listed.error().message);
            for (const Part& part : listed->parts) there_[part.number] = part;
            if (listed->next != 0 && listed->next <= after) return failed(HYPER_FATAL, what + ": the server's list goes round");
            after = listed->next;
        } while (after != 0);
        return {};
    }

    void send_all() {
        uint64_t threads = std::clamp<uint64_t>(in_memory_bytes_max / part_bytes_, 1, std::min<uint64_t>(threads_max, parts_.size()));
        std::vector<std::thread> others;
        for (uint64_t i = 1; i < threads; ++i) others.emplace_back([this] { send_some(); });
        send_some();
        for (std::thread& other : others) other.join();
    }

    void send_some() {
        for (;;) {
            size_t index;
            {
                std::lock_guard lock(mutex_);
                if (failure_ || next_ == parts_.size()) return;
                index = next_++;
            }
            auto part = asked(hooks_.stop) ? stopped() : send(index);
            std::lock_guard lock(mutex_);
            if (!part) {
                if (!failure_) failure_ = part.error();
                return;
            }
            parts_[index] = *part;
            done_bytes_ += part->size_bytes;
            if (hooks_.progress) hooks_.progress(done_bytes_);
        }
    }

    Outcome<Part> stopped() const { return failed(HYPER_RETRY_LATER, text_ + ": the upload was stopped; what is there stays there"); }

    Outcome<Part> send(size_t index) {
        uint64_t offset = index * part_bytes_;
        Wanted wanted;
        wanted.bytes.resize(std::min(part_bytes_, content_.size_bytes - offset));
        if (auto read = content_.read(offset, wanted.bytes); !read) return tl::unexpected(read.error());
        wanted.sha256 = sha256({wanted.bytes});
        wanted.md5 = md5(wanted.bytes);
        md5s_[index] = wanted.md5;
        auto number = static_cast<uint32_t>(index + 1);
        if (auto found = there_.find(number); found != there_.end() && wanted.is(found->second)) return found->second;

        Call call = uploader_.call("PUT", {{"partNumber", std::to_string(number)}, {"uploadId", id_}});
        call.headers = {{"content-type", "application/octet-stream"}, {"x-amz-checksum-sha256", wanted.sha256_text()}};
        call.body = wanted.bytes;
        std::string what = fmt::format("{}: upload part {} of {}, {} bytes", text_, number, parts_.size(), wanted.bytes.size());
        for (int attempt = 0; attempt < attempts_max; ++attempt) {
            auto answer = uploader_.ask(call, hex(wanted.sha256), what, hooks_.stop);
            if (!answer) return tl::unexpected(answer.error());
            Part part{number, wanted.bytes.size(), std::string(answer->header("etag")), std::string(answer->header("x-amz-checksum-sha256"))};
            std::string_view encryption = answer->header("x-amz-server-side-encryption");
            bool shows_none = part.sha256.empty() && (!is_md5(part.etag) || encryption.starts_with("aws:kms"));
            if (part.etag.empty()) return failed(HYPER_FATAL, what + ": the answer has no ETag");
            if (shows_none || wanted.is(part)) {
                std::lock_guard lock(mutex_);
                sent_bytes_ += wanted.bytes.size();
                return part;
            }
        }
        return failed(HYPER_FATAL, what + ": the server has other bytes than were sent");
    }

    // Of the whole: the MD5 of all MD5s, and how many. Empty where the server's ETags are something else.
    std::string expected_etag() const {
        Bytes hashes;
        for (size_t i = 0; i < parts_.size(); ++i) {
            if (parts_[i].etag != etag_of(md5s_[i])) return "";
            hashes.insert(hashes.end(), md5s_[i].begin(), md5s_[i].end());
        }
        return fmt::format("\"{}-{}\"", md5_text(md5(hashes)), parts_.size());
    }

    Outcome<Uploaded> complete() {
        // All or none: the server wants the SHA-256 of every part then.
        bool all = std::all_of(parts_.begin(), parts_.end(), [](const Part& part) { return !part.sha256.empty(); });
        if (!all)
            for (Part& part : parts_) part.sha256.clear();
        std::string body = completion(parts_), what = text_ + ": complete the upload";
        Call call = uploader_.call("POST", {{"uploadId", id_}});
        call.headers = {{"content-type", "application/xml"}};
        call.body = bytes_of_text(body);
        Failure failure;
        for (int attempt = 0; attempt < attempts_max; ++attempt) {
            auto answer = uploader_.ask(call, "", what, hooks_.stop);
            if (!answer) {
                failure = answer.error();
                break;
            }
            auto said = completed(answer->text);
            if (said && said->error.code.empty()) return look();
            failure = {HYPER_RETRY_LATER, what + ": " + (said ? said->error.code + ": " + said->error.message : said.error().message), 0};
            wait(wait_ms(attempt, 0), hooks_.stop);
        }
        // A first answer may have been lost, and then there is no such upload any more.
        if (failure.kind != HYPER_SNAPSHOT_GONE || expected_etag().empty()) return tl::unexpected(failure);
        auto found = look();
        return found ? found : Outcome<Uploaded>(tl::unexpected(failure));
    }

    // Whether the object is what was uploaded.
    Outcome<Uploaded> look() {
        Call call = uploader_.call("GET", {});
        call.headers = {{"range", range_text(0, 1)}};
        auto answer = uploader_.ask(call, "", text_ + ": look at the object", hooks_.stop);
        if (!answer) return tl::unexpected(answer.error());
        auto state = state_of(*answer, text_);
        if (!state) return tl::unexpected(state.error());
        std::string expected = expected_etag();
        if (state->size_bytes != content_.size_bytes || (!expected.empty() && state->etag != expected))
            return failed(HYPER_FATAL, fmt::format("{}: the object has {} bytes and ETag {}, and {} bytes and ETag {} were uploaded", text_,
                                                   state->size_bytes, state->etag, content_.size_bytes, expected.empty() ? "(any)" : expected));
        return Uploaded{state->etag, state->version, sent_bytes_};
    }

    Uploader& uploader_;
    const UploadContent& content_;
    const UploadHooks& hooks_;
    const std::string text_;
    const uint64_t part_bytes_;
    std::string id_;
    std::map<uint32_t, Part> there_;  // from before
    std::vector<Part> parts_;         // each written by one thread
    std::vector<Md5> md5s_;           // likewise
    std::mutex mutex_;
    size_t next_ = 0;                // guarded by mutex_, as all below, while threads run
    uint64_t done_bytes_ = 0, sent_bytes_ = 0;
    std::optional<Failure> failure_;
};

Uploader::Uploader(std::string uri, provider::Options options, std::shared_ptr<Client> client)
    : uri_(std::move(uri)), options_(std::move(options)), client_(std::move(client)) {}

Outcome<std::unique_ptr<Uploader>> Uploader::open(const std::string& uri, const provider::Options& options) {
    auto client = Client::open(uri, options, monotonic_ns() + call_ms * ms_ns);
    if (!client) return tl::unexpected(client.error());
    const Place& place = (*client)->place();
    if (!place.is_bucket() || place.disk().empty()) return failed(HYPER_BAD_CONFIGURATION, place.text() + ": an upload wants s3://BUCKET/KEY");
    return std::unique_ptr<Uploader>(new Uploader(uri, options, std::move(*client)));
}

std::shared_ptr<Client> Uploader::client() {
    std::lock_guard lock(mutex_);
    return client_;
}

Call Uploader::call(const std::string& method, Parameters query) {
    std::shared_ptr<Client> held = client();
    Call made;
    made.method = method;
    made.target = held->place().object(held->place().disk());
    made.target.query = std::move(query);
    return made;
}

Outcome<HttpAnswer> Uploader::ask_once(Call call, const std::string& payload_hash, const std::string& what, const std::function<bool()>& stop) {
    call.deadline_ns = monotonic_ns() + (call_ms + static_cast<int64_t>(call.body.size() / slow_bytes_per_ms)) * ms_ns;
    call.payload_hash = payload_hash;
    auto answer = client()->ask(call, [&stop] { return asked(stop); }, listing_bytes_max);
    if (!answer) return answer;
    if (answer->status / 100 == 2 && !answer->failure) return answer;
    // Of an upload that is gone radosgw says NoSuchKey.
    bool of_upload = std::any_of(call.target.query.begin(), call.target.query.end(), [](const auto& parameter) { return parameter.first == "uploadId"; });
    return tl::unexpected(failure_of(*answer, what, of_upload ? Known::yes : Known::no));
}

Outcome<HttpAnswer> Uploader::ask(Call call, const std::string& payload_hash, const std::string& what, const std::function<bool()>& stop) {
    for (int attempt = 0;; ++attempt) {
        auto answer = ask_once(call, payload_hash, what, stop);
        if (answer || attempt + 1 == attempts_max || asked(stop)) return answer;
        if (answer.error().kind == HYPER_LOG_IN_AGAIN) {
            auto again = Client::open(uri_, options_, monotonic_ns() + call_ms * ms_ns);
            if (!again) return tl::unexpected(again.error());
            std::lock_guard lock(mutex_);
            client_ = std::move(*again);
        } else if (answer.error().kind != HYPER_RETRY_LATER) {
            return answer;
        }
        wait(wait_ms(attempt, answer.error().retry_after_ms), stop);
    }
}

Outcome<Uploaded> Uploader::upload(const UploadContent& content, const UploadHooks& hooks, const std::string& upload_id) {
    return UploadRun(*this, content, hooks).run(upload_id);
}

Outcome<std::vector<PendingUpload>> Uploader::pending() {
    std::vector<PendingUpload> found;
    std::shared_ptr<Client> held = client();
    std::string what = held->place().text() + ": list uploads", key, id;
    do {
        Call page;
        page.target = held->place().bucket();
        page.target.query = {{"uploads", ""}, {"prefix", held->place().key()}};
        if (!key.empty()) page.target.query.emplace_back("key-marker", key);
        if (!id.empty()) page.target.query.emplace_back("upload-id-marker", id);
        auto answer = ask(page, "", what, {});
        if (!answer) return tl::unexpected(answer.error());
        auto listed = upload_listing(answer->text);
        if (!listed) return failed(listed.error().kind, what + ": " + listed.error().message);
        for (const PendingUpload& upload : listed->uploads)
            if (upload.key == held->place().key()) found.push_back(upload);
        if (!listed->next_key.empty() && listed->next_key == key && listed->next_id == id) return failed(HYPER_FATAL, what + ": the server's list goes round");
        key = listed->next_key;
        id = listed->next_id;
    } while (!key.empty());
    return found;
}

Outcome<void> Uploader::abort(const std::string& upload_id) {
    auto answer = ask(call("DELETE", {{"uploadId", upload_id}}), "", client()->place().text() + ": abort the upload", {});
    if (answer || answer.error().kind == HYPER_SNAPSHOT_GONE) return {};
    return tl::unexpected(answer.error());
}

}  // namespace hyper::s3
