// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/upload.h"

#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <map>
#include <set>

#include "blockengine/base/bytes.h"
#include "blockengine/base/hex.h"
#include "blockengine/base/sha256.h"
#include "providers/s3/digest.h"
#include "tests/providers/s3/scripted_server.h"

namespace hyper::s3 {
namespace {

constexpr uint64_t part_bytes = 16 * MiB, disk_bytes = 2 * part_bytes + 12345;

TEST(S3Digest, of_the_rfcs_examples) {
    EXPECT_EQ(md5_text(md5(bytes_of_text("message digest"))), "f96b697d7cb7938d525a2f31aaf161d0");
    EXPECT_EQ(base64_of(bytes_of_text("foob")), "Zm9vYg==");
}

TEST(S3Parts, are_as_many_as_a_server_takes) {
    EXPECT_EQ(part_bytes_of(1), part_bytes);
    for (uint64_t size : {160 * GiB, 5 * TiB, 40 * TiB}) EXPECT_LE(divide_up(size, part_bytes_of(size)), 10'000u) << size;
    EXPECT_EQ(part_bytes_of(64 * TiB), 0u);
}

// A store of one object, with faults by name that happen once each.
class S3Upload : public testing::Test {
  protected:
    S3Upload() : server_([this](const SeenRequest& request) { return answer(request); }) {
        setenv("AWS_ACCESS_KEY_ID", "key", 1);
        setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
        disk_.resize(disk_bytes);
        for (uint64_t i = 0; i < disk_bytes; ++i) disk_[i] = static_cast<char>(i * 7 >> 5);
        content_.size_bytes = disk_bytes;
        content_.read = [this](uint64_t offset, std::span<std::byte> buffer) {
            std::memcpy(buffer.data(), disk_.data() + offset, buffer.size());
            return Outcome<void>();
        };
        uploader_ = Uploader::open("s3://bucket/web01.raw", {{"endpoint", server_.url()}}).value();
    }

    bool fault(const std::string& name) { return faults_.erase(name) > 0; }
    static std::string ok(const std::string& headers, const std::string& body) { return ScriptedServer::answer("200 OK", headers, body); }
    static std::string etag_of(const std::string& bytes) { return "\"" + md5_text(md5(bytes_of_text(bytes))) + "\""; }
    std::string whole() const {
        std::string bytes;
        for (const auto& [number, part] : parts_) bytes += part;
        return bytes;
    }
    std::string whole_etag() const {
        Bytes hashes;
        for (const auto& [number, part] : parts_) {
            Md5 hash = md5(bytes_of_text(part));
            hashes.insert(hashes.end(), hash.begin(), hash.end());
        }
        return fmt::format("\"{}-{}\"", md5_text(md5(hashes)), parts_.size());
    }

    std::string answer(const SeenRequest& request) {
        std::lock_guard lock(mutex_);
        auto is = [&](const std::string& start) { return request.line.starts_with(start); };
        std::string no_such = ScriptedServer::answer("404 Not Found", "", "<Error><Code>NoSuchUpload</Code></Error>");
        if (is("POST /bucket/web01.raw?uploads=")) {
            id_ = "id" + std::to_string(++begun_);
            return ok("", "<InitiateMultipartUploadResult><UploadId>" + id_ + "</UploadId></InitiateMultipartUploadResult>");
        }
        if (is("GET /bucket/?uploads") || is("GET /bucket?"))
            return ok("", "<ListMultipartUploadsResult><Upload><Key>web01.raw</Key><UploadId>id1</UploadId></Upload><Upload><Key>web01.raw.old</Key>"
                          "<UploadId>id0</UploadId></Upload></ListMultipartUploadsResult>");
        if (is("DELETE ")) {
            if (id_.empty()) return no_such;
            id_.clear();
            return "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n";
        }
        if (is("GET ") && request.line.find("uploadId") == std::string::npos) {
            if (object_.empty()) return ScriptedServer::answer("404 Not Found", "", "");
            return ScriptedServer::answer("206 Partial Content", fmt::format("Content-Range: bytes 0-0/{}\r\nETag: {}\r\n", object_.size(), object_etag_), "x");
        }
        if (request.line.find("uploadId=" + id_) == std::string::npos || id_.empty()) return no_such;
        if (is("PUT ")) {
            if (fault("overload")) return ScriptedServer::answer("503 Slow Down", "", "<Error><Code>SlowDown</Code></Error>");
            std::string bytes = request.body;
            if (fault("damage")) bytes[5] ^= 1;
            if (fault("break")) return "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
            int number = std::stoi(request.line.substr(request.line.find("partNumber=") + 11));
            parts_[number] = bytes;
            ++sent_;
            if (encrypts_)
                return ok("x-amz-server-side-encryption: aws:kms\r\nETag: \"00112233445566778899aabbccddeeff\"\r\nx-amz-checksum-sha256: " +
                              base64_of(sha256({bytes_of_text(bytes)})) + "\r\n", "");
            return ok("ETag: " + etag_of(bytes) + "\r\n", "");
        }
        if (is("GET ")) {
            std::string list;
            for (const auto& [number, part] : parts_)
                list += fmt::format("<Part><PartNumber>{}</PartNumber><Size>{}</Size><ETag>{}</ETag></Part>", number, part.size(), etag_of(part));
            return ok("", "<ListPartsResult>" + list + "</ListPartsResult>");
        }
        if (fault("complete fails")) return ok("", "<Error><Code>InternalError</Code></Error>");
        if (fault("another object")) {
            object_ = whole();
            object_[7] ^= 1;
            object_etag_ = "\"else\"";
        } else {
            object_ = whole();
            object_etag_ = encrypts_ ? "\"ffeeddccbbaa99887766554433221100-3\"" : whole_etag();
        }
        id_.clear();
        if (fault("complete's answer is lost")) return "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n";
        return ok("", "<CompleteMultipartUploadResult><ETag>x</ETag></CompleteMultipartUploadResult>");
    }

    std::mutex mutex_;
    std::set<std::string> faults_;  // guarded by mutex_, as all to object_etag_
    std::string id_;
    int begun_ = 0;
    std::atomic<int> sent_ = 0;
    std::map<int, std::string> parts_;
    std::string object_, object_etag_;
    bool encrypts_ = false;  // then ETags are no hashes of what was sent
    std::string disk_;
    UploadContent content_;
    ScriptedServer server_;
    std::unique_ptr<Uploader> uploader_;
};

TEST_F(S3Upload, puts_the_content_there_part_by_part) {
    std::vector<uint64_t> progress;
    std::string id;
    auto done = uploader_->upload(content_, {[&](const std::string& begun) { id = begun; }, [&](uint64_t bytes) { progress.push_back(bytes); }, {}});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(object_, disk_);
    EXPECT_EQ(done->etag, object_etag_);
    EXPECT_EQ(done->sent_bytes, disk_bytes);
    EXPECT_EQ(id, "id1");
    EXPECT_EQ(progress.size(), 3u);
    EXPECT_EQ(progress.back(), disk_bytes);
}

TEST_F(S3Upload, sends_each_part_with_its_hash) {
    ASSERT_TRUE(uploader_->upload(content_, {}));
    int parts = 0;
    for (const SeenRequest& request : server_.seen()) {
        if (!request.line.starts_with("PUT ")) continue;
        ++parts;
        Sha256 hash = sha256({bytes_of_text(request.body)});
        EXPECT_EQ(request.header("x-amz-checksum-sha256"), base64_of(hash));
        EXPECT_EQ(request.header("x-amz-content-sha256"), hex(hash));
    }
    EXPECT_EQ(parts, 3);
}

TEST_F(S3Upload, is_tried_again_where_the_server_is_overloaded_or_the_connection_breaks) {
    faults_ = {"overload", "break"};
    auto done = uploader_->upload(content_, {});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(object_, disk_);
    EXPECT_TRUE(faults_.empty());
}

TEST_F(S3Upload, a_part_that_arrived_damaged_is_sent_again) {
    faults_ = {"damage"};
    auto done = uploader_->upload(content_, {});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(sent_, 4);
    EXPECT_EQ(object_, disk_);
}

TEST_F(S3Upload, is_checked_by_sha256_where_the_server_encrypts) {
    encrypts_ = true;
    faults_ = {"damage"};
    auto done = uploader_->upload(content_, {});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(sent_, 4);
    EXPECT_EQ(object_, disk_);
}

TEST_F(S3Upload, a_completion_that_fails_with_status_200_is_tried_again) {
    faults_ = {"complete fails"};
    auto done = uploader_->upload(content_, {});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(object_, disk_);
}

TEST_F(S3Upload, a_completion_whose_answer_was_lost_is_found_done) {
    faults_ = {"complete's answer is lost"};
    auto done = uploader_->upload(content_, {});
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(done->etag, object_etag_);
}

TEST_F(S3Upload, another_object_than_was_sent_is_an_error) {
    faults_ = {"another object"};
    EXPECT_EQ(uploader_->upload(content_, {}).error().kind, HYPER_FATAL);
}

TEST_F(S3Upload, goes_on_with_what_is_there_and_sends_what_is_missing_or_wrong) {
    std::atomic<int> asked = 0;
    std::string id;
    auto stopped = uploader_->upload(content_, {[&](const std::string& begun) { id = begun; }, {}, [&] { return sent_ >= 1; }});
    ASSERT_FALSE(stopped);
    EXPECT_EQ(stopped.error().kind, HYPER_RETRY_LATER);
    ASSERT_TRUE(object_.empty());
    {
        std::lock_guard lock(mutex_);
        parts_ = {{1, disk_.substr(0, part_bytes)}, {2, std::string(part_bytes, 'x')}};
        sent_ = 0;
    }
    auto done = uploader_->upload(content_, {[&](const std::string&) { ++asked; }, {}, {}}, id);
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(asked, 0);
    EXPECT_EQ(sent_, 2);
    EXPECT_EQ(done->sent_bytes, disk_bytes - part_bytes);
    EXPECT_EQ(object_, disk_);
}

TEST_F(S3Upload, begins_anew_where_the_upload_is_gone) {
    std::string id;
    auto done = uploader_->upload(content_, {[&](const std::string& begun) { id = begun; }, {}, {}}, "gone");
    ASSERT_TRUE(done) << done.error().message;
    EXPECT_EQ(id, "id1");
}

TEST_F(S3Upload, a_source_that_cannot_be_read_makes_no_object) {
    content_.read = [](uint64_t offset, std::span<std::byte>) -> Outcome<void> {
        if (offset == 0) return {};
        return failed(HYPER_FATAL, "no such bytes");
    };
    auto done = uploader_->upload(content_, {});
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().message, "no such bytes");
    EXPECT_TRUE(object_.empty());
}

TEST_F(S3Upload, pending_ones_of_the_object_alone_are_listed_and_aborted) {
    auto pending = uploader_->pending();
    ASSERT_TRUE(pending) << pending.error().message;
    ASSERT_EQ(pending->size(), 1u);
    EXPECT_EQ(pending->front().id, "id1");
    EXPECT_TRUE(uploader_->abort("id1"));
    EXPECT_TRUE(uploader_->abort("id1"));
}

TEST_F(S3Upload, wants_a_key) {
    EXPECT_FALSE(Uploader::open("s3://bucket/", {}));
    EXPECT_FALSE(Uploader::open("https://host.example/web01.raw", {}));
}

}  // namespace
}  // namespace hyper::s3
