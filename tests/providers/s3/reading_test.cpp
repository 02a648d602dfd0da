// SPDX-License-Identifier: Apache-2.0
// The provider, by its table, against a server that does what a test wants.
#include <gtest/gtest.h>
#include <signal.h>

#include <atomic>
#include <cstdlib>
#include <future>

#include "providers/s3/connection.h"
#include "tests/providers/s3/scripted_server.h"

namespace hyper::s3 {
namespace {

constexpr int64_t second_ns = 1'000'000'000;

hyper_error new_error() {
    hyper_error error{};
    error.size = sizeof error;
    return error;
}

struct Answered {
    hyper_failure kind = HYPER_OK;
    std::string message;
    uint32_t retry_after_ms = 0;
    std::string bytes;
};

// A connection to one object, and a snapshot of it.
class S3Reading : public testing::Test {
  protected:
    S3Reading() {
        setenv("AWS_ACCESS_KEY_ID", "key", 1);
        setenv("AWS_SECRET_ACCESS_KEY", "a-secret", 1);
        for (const char* name : {"AWS_SESSION_TOKEN", "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"}) unsetenv(name);
        host_.size = sizeof host_;
        host_.log = [](const hyper_host*, hyper_log_level, const char*) {};
    }
    ~S3Reading() override { leave(); }

    hyper_call call(int64_t seconds = 20) { return {sizeof(hyper_call), monotonic_ns() + seconds * second_ns, nullptr}; }

    void open(const std::string& uri, std::vector<hyper_option> options = {}) {
        leave();
        hyper_error error = new_error();
        hyper_call now = call();
        const char* disk = nullptr;
        ASSERT_EQ(table_.open(&host_, &now, uri.c_str(), options.data(), options.size(), &connection_, &disk, &error), HYPER_OK) << error.message;
        disk_ = disk == nullptr ? "" : disk;
    }
    void open_object(ScriptedServer& server) {
        std::string url = server.url();
        open("s3://bucket/web01.raw", {{"endpoint", url.c_str()}});
    }
    Answered take() {
        hyper_error error = new_error();
        hyper_call now = call();
        const char* disk = disk_.c_str();
        hyper_snapshot_wish wish{sizeof wish, &disk, 1, false, nullptr};
        hyper_failure kind = table_.take_snapshot(connection_, &now, &wish, &snapshot_, &error);
        return {kind, error.message, error.retry_after_ms, ""};
    }
    hyper_snapshot_disk describe() {
        hyper_error error = new_error();
        hyper_snapshot_disk about{};
        about.size = sizeof about;
        EXPECT_EQ(table_.describe(snapshot_, 0, &about, &error), HYPER_OK);
        return about;
    }
    struct Read : hyper_read {
        std::promise<Answered> answered;
        std::string bytes;
    };
    Answered read(uint64_t offset, size_t length, int64_t deadline_ns = 20 * second_ns) {
        Read read{};
        read.bytes.resize(length);
        static_cast<hyper_read&>(read) = {sizeof(hyper_read), 0, offset, length, read.bytes.data(), monotonic_ns() + deadline_ns,
                                          [](hyper_read* ended, hyper_failure failure, const hyper_error* error) {
                                              Answered answered{failure, error ? error->message : "", error ? error->retry_after_ms : 0, ""};
                                              static_cast<Read*>(ended)->answered.set_value(answered);
                                          }};
        table_.read(snapshot_, &read);
        Answered answered = read.answered.get_future().get();
        answered.bytes = read.bytes;
        return answered;
    }
    void leave() {
        hyper_call now = call();
        if (snapshot_ != nullptr) table_.release(std::exchange(snapshot_, nullptr), &now, HYPER_ABANDONED);
        if (connection_ != nullptr) table_.close(std::exchange(connection_, nullptr));
    }

    const hyper_provider& table_ = provider_table();
    hyper_host host_{};
    void* connection_ = nullptr;
    void* snapshot_ = nullptr;
    std::string disk_;
};

// An object of 1000 bytes, each the last two digits of its offset, well served.
std::string byte_at(uint64_t offset) { return std::string(1, static_cast<char>(offset % 100)); }
std::string content(uint64_t first, uint64_t last) {
    std::string bytes;
    for (uint64_t i = first; i <= last; ++i) bytes += byte_at(i);
    return bytes;
}
std::pair<uint64_t, uint64_t> range_of(const SeenRequest& request) {
    std::string text = request.header("range");
    size_t dash = text.find('-');
    return {std::stoull(text.substr(6)), std::stoull(text.substr(dash + 1))};
}
std::string served(const SeenRequest& request, const std::string& etag = "\"one\"") {
    auto [first, last] = range_of(request);
    return ScriptedServer::answer("206 Partial Content", fmt::format("Content-Range: bytes {}-{}/1000\r\nETag: {}\r\n", first, last, etag), content(first, last));
}
bool is_probe(const SeenRequest& request) { return request.header("range") == "bytes=0-0"; }

TEST_F(S3Reading, gives_the_objects_bytes_signed_and_held_by_its_etag) {
    ScriptedServer server([](const SeenRequest& request) { return served(request); });
    open_object(server);
    EXPECT_EQ(disk_, "web01.raw");
    ASSERT_EQ(take().kind, HYPER_OK);
    hyper_snapshot_disk about = describe();
    EXPECT_EQ(about.size_bytes, 1000u);
    EXPECT_STREQ(about.format, "auto");
    EXPECT_EQ(about.consistency, HYPER_AT_REST);
    EXPECT_EQ(about.identity, "s3:" + server.url() + "/bucket/web01.raw \"one\" 1000 bytes");
    Answered answered = read(5, 100);
    EXPECT_EQ(answered.kind, HYPER_OK) << answered.message;
    EXPECT_EQ(answered.bytes, content(5, 104));
    SeenRequest last = server.seen().back();
    EXPECT_EQ(last.line, "GET /bucket/web01.raw HTTP/1.1");
    EXPECT_EQ(last.header("if-match"), "\"one\"");
    EXPECT_NE(last.header("authorization").find("SignedHeaders=host;if-match;range;x-amz-content-sha256;x-amz-date"), std::string::npos);
}

TEST_F(S3Reading, many_reads_are_under_way_at_once) {
    std::mutex mutex;
    std::condition_variable all_here;
    int here = 0;
    ScriptedServer server([&](const SeenRequest& request) {
        if (is_probe(request)) return served(request);
        std::unique_lock lock(mutex);
        ++here;
        all_here.notify_all();
        all_here.wait_for(lock, std::chrono::seconds(20), [&] { return here == 16; });
        return served(request);
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    std::vector<std::thread> readers;
    std::atomic<int> good = 0;
    for (uint64_t i = 0; i < 16; ++i) readers.emplace_back([&, i] { good += read(i * 10, 10).bytes == content(i * 10, i * 10 + 9); });
    for (std::thread& reader : readers) reader.join();
    EXPECT_EQ(good, 16);
    EXPECT_EQ(here, 16);
}

TEST_F(S3Reading, a_changed_object_is_gone_where_the_server_keeps_to_if_match) {
    ScriptedServer server([](const SeenRequest& request) {
        return is_probe(request) ? served(request) : ScriptedServer::answer("412 Precondition Failed", "", "");
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_EQ(read(5, 10).kind, HYPER_SNAPSHOT_GONE);
}

TEST_F(S3Reading, a_changed_object_is_gone_where_the_server_ignores_if_match) {
    ScriptedServer server([](const SeenRequest& request) { return is_probe(request) ? served(request) : served(request, "\"two\""); });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    Answered answered = read(5, 10);
    EXPECT_EQ(answered.kind, HYPER_SNAPSHOT_GONE);
    EXPECT_EQ(answered.bytes, std::string(10, '\0'));
    EXPECT_EQ(answered.message, "s3://bucket/web01.raw: read 10 bytes at offset 5: the object was changed: it was \"one\", and now is \"two\"");
}

TEST_F(S3Reading, a_removed_object_is_gone) {
    ScriptedServer server([](const SeenRequest& request) { return is_probe(request) ? served(request) : ScriptedServer::answer("404 Not Found", "", ""); });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_EQ(read(5, 10).kind, HYPER_SNAPSHOT_GONE);
}

TEST_F(S3Reading, all_of_the_object_instead_of_a_range_does_for_its_beginning_alone) {
    ScriptedServer server([](const SeenRequest& request) {
        return is_probe(request) ? served(request) : ScriptedServer::answer("200 OK", "ETag: \"one\"\r\n", content(0, 999));
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    Answered beginning = read(0, 10);
    EXPECT_EQ(beginning.kind, HYPER_OK) << beginning.message;
    EXPECT_EQ(beginning.bytes, content(0, 9));
    Answered middle = read(5, 10);
    EXPECT_EQ(middle.kind, HYPER_BAD_CONFIGURATION);
    EXPECT_NE(middle.message.find("ignores Range"), std::string::npos) << middle.message;
}

TEST_F(S3Reading, another_range_than_was_asked_for_is_an_error) {
    ScriptedServer server([](const SeenRequest& request) {
        if (is_probe(request)) return served(request);
        return ScriptedServer::answer("206 Partial Content", "Content-Range: bytes 6-15/1000\r\nETag: \"one\"\r\n", content(6, 15));
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_EQ(read(5, 10).kind, HYPER_FATAL);
}

TEST_F(S3Reading, another_beginning_of_the_range_is_an_error) {
    ScriptedServer server([](const SeenRequest& request) {
        if (is_probe(request)) return served(request);
        return ScriptedServer::answer("206 Partial Content", "Content-Range: bytes 4-14/1000\r\nETag: \"one\"\r\n", content(4, 14));
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_EQ(read(5, 10).kind, HYPER_FATAL);
}

TEST_F(S3Reading, an_object_of_another_size_is_gone) {
    ScriptedServer server([](const SeenRequest& request) {
        if (is_probe(request)) return served(request);
        return ScriptedServer::answer("206 Partial Content", "Content-Range: bytes 5-14/999\r\nETag: \"one\"\r\n", content(5, 14));
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_EQ(read(5, 10).kind, HYPER_SNAPSHOT_GONE);
}

TEST_F(S3Reading, a_body_that_breaks_off_is_to_be_tried_again) {
    ScriptedServer server([](const SeenRequest& request) {
        std::string whole = served(request);
        return is_probe(request) ? whole : whole.substr(0, whole.size() - 3);
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_EQ(read(5, 10).kind, HYPER_RETRY_LATER);
}

TEST_F(S3Reading, a_body_shorter_than_its_range_is_to_be_tried_again) {
    ScriptedServer server([](const SeenRequest& request) {
        if (is_probe(request)) return served(request);
        return ScriptedServer::answer("206 Partial Content", "Content-Range: bytes 5-14/1000\r\nETag: \"one\"\r\n", content(5, 11));
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    Answered answered = read(5, 10);
    EXPECT_EQ(answered.kind, HYPER_RETRY_LATER);
    EXPECT_NE(answered.message.find("only 7 bytes came"), std::string::npos) << answered.message;
}

TEST_F(S3Reading, an_overloaded_server_says_when_to_try_again) {
    ScriptedServer server([](const SeenRequest& request) {
        if (is_probe(request)) return served(request);
        return ScriptedServer::answer("503 Slow Down", "Retry-After: 7\r\n", "<Error><Code>SlowDown</Code></Error>");
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    Answered answered = read(5, 10);
    EXPECT_EQ(answered.kind, HYPER_RETRY_LATER);
    EXPECT_EQ(answered.retry_after_ms, 7000u);
}

TEST_F(S3Reading, a_server_that_hangs_costs_no_more_than_the_deadline) {
    ScriptedServer server([](const SeenRequest& request) { return is_probe(request) ? served(request) : ""; });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    int64_t start = monotonic_ns();
    EXPECT_EQ(read(5, 10, second_ns / 5).kind, HYPER_RETRY_LATER);
    EXPECT_LT(monotonic_ns() - start, 10 * second_ns);
}

TEST_F(S3Reading, closing_ends_what_still_waits) {
    auto http = Http::start().value();
    std::promise<HttpAnswer> ended;
    std::promise<void> arrived;
    ScriptedServer silent([&](const SeenRequest&) {
        arrived.set_value();
        return "";
    });
    HttpRequest request;
    request.url = silent.url() + "/";
    request.deadline_ns = monotonic_ns() + 1000 * second_ns;
    http->begin(std::move(request), [&](HttpAnswer&& answer) { ended.set_value(std::move(answer)); });
    arrived.get_future().wait();
    http.reset();
    EXPECT_EQ(ended.get_future().get().failure->problem, HttpProblem::given_up);
}

TEST_F(S3Reading, leaves_the_processs_signals_alone) {
    struct sigaction before, after;
    sigset_t mask_before, mask_after;
    sigaction(SIGPIPE, nullptr, &before);
    pthread_sigmask(SIG_SETMASK, nullptr, &mask_before);
    ScriptedServer server([](const SeenRequest& request) { return served(request); });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    sigaction(SIGPIPE, nullptr, &after);
    pthread_sigmask(SIG_SETMASK, nullptr, &mask_after);
    EXPECT_EQ(before.sa_handler, after.sa_handler);
    EXPECT_EQ(sigismember(&mask_before, SIGPIPE), sigismember(&mask_after, SIGPIPE));
}

TEST_F(S3Reading, a_redirect_is_not_followed) {
    ScriptedServer elsewhere([](const SeenRequest& request) { return served(request); });
    std::string location = "Location: " + elsewhere.url() + "/bucket/web01.raw\r\n";
    ScriptedServer server([&](const SeenRequest&) { return ScriptedServer::answer("307 Temporary Redirect", location, ""); });
    open_object(server);
    EXPECT_EQ(take().kind, HYPER_BAD_CONFIGURATION);
    EXPECT_TRUE(elsewhere.seen().empty());
}

TEST_F(S3Reading, a_version_is_read_by_its_name) {
    ScriptedServer server([](const SeenRequest& request) {
        std::string answer = served(request);
        return answer.insert(answer.find("ETag"), "x-amz-version-id: v+1\r\n");
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_EQ(read(5, 10).kind, HYPER_OK);
    EXPECT_EQ(server.seen().back().line, "GET /bucket/web01.raw?versionId=v%2B1 HTTP/1.1");
}

TEST_F(S3Reading, goes_without_versions_where_they_may_not_be_read) {
    ScriptedServer server([](const SeenRequest& request) {
        if (request.line.find("versionId") != std::string::npos) return ScriptedServer::answer("403 Forbidden", "", "");
        std::string answer = served(request);
        return answer.insert(answer.find("ETag"), "x-amz-version-id: v1\r\n");
    });
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_EQ(read(5, 10).kind, HYPER_OK);
}

TEST_F(S3Reading, a_url_is_asked_for_unsigned_and_shown_without_its_query) {
    ScriptedServer server([](const SeenRequest& request) {
        return is_probe(request) ? served(request) : ScriptedServer::answer("403 Forbidden", "", "<Error><Code>AccessDenied</Code></Error>");
    });
    open(server.url() + "/web01.raw?X-Amz-Signature=hunter2");
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_EQ(std::string(describe().identity).find("hunter2"), std::string::npos);
    Answered answered = read(5, 10);
    EXPECT_EQ(answered.kind, HYPER_NOT_ALLOWED);
    EXPECT_EQ(answered.message.find("hunter2"), std::string::npos);
    SeenRequest last = server.seen().back();
    EXPECT_EQ(last.line, "GET /web01.raw?X-Amz-Signature=hunter2 HTTP/1.1");
    EXPECT_EQ(last.header("authorization"), "");
}

TEST_F(S3Reading, nobody_there_is_to_be_tried_again) {
    std::string url;
    { url = ScriptedServer([](const SeenRequest&) { return ""; }).url(); }
    open("s3://bucket/web01.raw", {{"endpoint", url.c_str()}});
    Answered answered = take();
    EXPECT_EQ(answered.kind, HYPER_RETRY_LATER) << answered.message;
    EXPECT_EQ(answered.message.find("a-secret"), std::string::npos);
}

TEST_F(S3Reading, lists_every_page_and_images_alone) {
    ScriptedServer server([](const SeenRequest& request) {
        bool second = request.line.find("continuation-token=next%20one") != std::string::npos;
        std::string more = second ? "<IsTruncated>false</IsTruncated><Contents><Key>a/d.vmdk</Key></Contents>"
                                  : "<IsTruncated>true</IsTruncated><NextContinuationToken>next one</NextContinuationToken>"
                                    "<Contents><Key>a/b/c.qcow2</Key><Size>5</Size></Contents><Contents><Key>a/readme.txt</Key></Contents>";
        return ScriptedServer::answer("200 OK", "", "<ListBucketResult>" + more + "</ListBucketResult>");
    });
    std::string url = server.url();
    open("s3://bucket/a/", {{"endpoint", url.c_str()}});
    EXPECT_EQ(disk_, "");
    std::vector<std::string> names;
    hyper_error error = new_error();
    hyper_call now = call();
    auto found = [](void* opaque, const hyper_disk* disk) {
        static_cast<std::vector<std::string>*>(opaque)->push_back(disk->name);
        return true;
    };
    ASSERT_EQ(table_.list(connection_, &now, found, &names, &error), HYPER_OK) << error.message;
    EXPECT_EQ(names, (std::vector<std::string>{"b/c.qcow2", "d.vmdk"}));
}

TEST_F(S3Reading, a_check_finds_a_server_that_ignores_if_match) {
    ScriptedServer server([](const SeenRequest& request) { return served(request); });
    open_object(server);
    std::string findings;
    hyper_error error = new_error();
    hyper_call now = call();
    auto finding = [](void* opaque, hyper_verdict verdict, const char* what, const char*) {
        *static_cast<std::string*>(opaque) += fmt::format("{} {}; ", what, static_cast<int>(verdict));
    };
    ASSERT_EQ(table_.check(connection_, &now, disk_.c_str(), finding, &findings, &error), HYPER_OK);
    EXPECT_EQ(findings, "credentials 0; object 0; ranges 0; changes 1; ");
}

TEST_F(S3Reading, a_caller_that_has_gone_is_not_kept) {
    ScriptedServer server([](const SeenRequest&) { return ""; });
    open_object(server);
    hyper_error error = new_error();
    hyper_call gone{sizeof(hyper_call), monotonic_ns() + 1000 * second_ns, [](const hyper_call*) { return true; }};
    const char* disk = disk_.c_str();
    hyper_snapshot_wish wish{sizeof wish, &disk, 1, false, nullptr};
    EXPECT_EQ(table_.take_snapshot(connection_, &gone, &wish, &snapshot_, &error), HYPER_RETRY_LATER);
}

// The metadata service of an instance.
class S3Metadata : public S3Reading {
  protected:
    S3Metadata() {
        for (const char* name : {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE", "AWS_EC2_METADATA_DISABLED"})
            unsetenv(name);
        setenv("HOME", "/nowhere", 1);
    }
    ~S3Metadata() override { unsetenv("AWS_EC2_METADATA_SERVICE_ENDPOINT"); }
    std::string metadata(const SeenRequest& request, const std::string& expiration) {
        if (request.line.starts_with("PUT /latest/api/token ")) return ScriptedServer::answer("200 OK", "", "token1");
        if (request.header("x-aws-ec2-metadata-token") != "token1") return ScriptedServer::answer("401 Unauthorized", "", "");
        if (request.line.find("/web-role ") == std::string::npos) return ScriptedServer::answer("200 OK", "", "web-role");
        return ScriptedServer::answer("200 OK", "", R"({"AccessKeyId":"role-key","SecretAccessKey":"s","Token":"t","Expiration":")" + expiration + "\"}");
    }
};

TEST_F(S3Metadata, gives_the_keys_of_the_instances_role) {
    ScriptedServer metadata_server([&](const SeenRequest& request) { return metadata(request, "2100-01-01T00:00:00Z"); });
    ScriptedServer server([](const SeenRequest& request) { return served(request); });
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata_server.url().c_str(), 1);
    open_object(server);
    ASSERT_EQ(take().kind, HYPER_OK);
    EXPECT_NE(server.seen().back().header("authorization").find("Credential=role-key/"), std::string::npos);
    EXPECT_EQ(server.seen().back().header("x-amz-security-token"), "t");
}

TEST_F(S3Metadata, whose_keys_have_ended_wants_another_log_in) {
    ScriptedServer metadata_server([&](const SeenRequest& request) { return metadata(request, "2020-01-01T00:00:00Z"); });
    ScriptedServer server([](const SeenRequest& request) { return served(request); });
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", metadata_server.url().c_str(), 1);
    open_object(server);
    EXPECT_EQ(take().kind, HYPER_LOG_IN_AGAIN);
}

TEST_F(S3Metadata, that_is_not_there_leaves_no_credentials) {
    ScriptedServer server([](const SeenRequest&) { return ScriptedServer::answer("404 Not Found", "", ""); });
    setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", server.url().c_str(), 1);
    hyper_error error = new_error();
    hyper_call now = call();
    const char* disk = nullptr;
    EXPECT_EQ(table_.open(&host_, &now, "s3://bucket/web01.raw", nullptr, 0, &connection_, &disk, &error), HYPER_NOT_ALLOWED);
    EXPECT_NE(std::string(error.message).find("no credentials"), std::string::npos) << error.message;
}

}  // namespace
}  // namespace hyper::s3
