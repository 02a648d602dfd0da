// SPDX-License-Identifier: Apache-2.0
// What answers mean: headers, documents, failures.
#include <gtest/gtest.h>

#include "providers/s3/credentials.h"
#include "providers/s3/documents.h"
#include "providers/s3/failures.h"
#include "providers/s3/object.h"

namespace hyper::s3 {
namespace {

HttpAnswer answer(int status, const Headers& headers = {}, const std::string& text = "") {
    HttpAnswer made;
    made.status = status;
    made.headers = headers;
    made.text = text;
    return made;
}
Failure failure(int status, const std::string& code = "", Known known = Known::no) {
    return failure_of(answer(status, {}, code.empty() ? "" : "<Error><Code>" + code + "</Code><Message>so it is</Message></Error>"), "s3://b/k", known);
}

TEST(S3ContentRange, is_understood) {
    auto range = content_range("bytes 5-9/100");
    ASSERT_TRUE(range && range->satisfied);
    EXPECT_EQ(range->first, 5u);
    EXPECT_EQ(range->last, 9u);
    EXPECT_EQ(range->total, 100u);
    EXPECT_FALSE(content_range("bytes 5-9/*")->total);
    EXPECT_FALSE(content_range("bytes */100")->satisfied);
}

TEST(S3ContentRange, is_refused_where_it_cannot_be) {
    for (const char* text : {"", "5-9/100", "bytes 9-5/100", "bytes 5-100/100", "bytes 5-9", "bytes -9/100", "bytes 5-/100", "bytes a-b/c",
                             "bytes 5-9/", "bytes 18446744073709551616-9/100"})
        EXPECT_FALSE(content_range(text)) << text;
}

TEST(S3Failures, by_status) {
    EXPECT_EQ(failure(403).kind, HYPER_NOT_ALLOWED);
    EXPECT_EQ(failure(404).kind, HYPER_BAD_CONFIGURATION);
    EXPECT_EQ(failure(404, "", Known::yes).kind, HYPER_SNAPSHOT_GONE);
    EXPECT_EQ(failure(412, "", Known::yes).kind, HYPER_SNAPSHOT_GONE);
    EXPECT_EQ(failure(416, "", Known::yes).kind, HYPER_SNAPSHOT_GONE);
    EXPECT_EQ(failure(301).kind, HYPER_BAD_CONFIGURATION);
    for (int status : {408, 429, 500, 502, 503, 504}) EXPECT_EQ(failure(status).kind, HYPER_RETRY_LATER) << status;
    EXPECT_EQ(failure(507).kind, HYPER_QUOTA);
    EXPECT_EQ(failure(418).kind, HYPER_FATAL);
}

TEST(S3Failures, the_servers_word_says_more_than_the_status) {
    EXPECT_EQ(failure(400, "ExpiredToken").kind, HYPER_LOG_IN_AGAIN);
    EXPECT_EQ(failure(403, "ExpiredToken").kind, HYPER_LOG_IN_AGAIN);
    EXPECT_EQ(failure(400, "RequestTimeout").kind, HYPER_RETRY_LATER);
    EXPECT_EQ(failure(403, "InvalidObjectState").kind, HYPER_BAD_CONFIGURATION);
    EXPECT_EQ(failure(403, "SignatureDoesNotMatch").kind, HYPER_NOT_ALLOWED);
    EXPECT_EQ(failure(403, "SignatureDoesNotMatch").message,
              "s3://b/k: the secret key is not that of the key id, or the URL was changed (403 SignatureDoesNotMatch: so it is)");
}

TEST(S3Failures, retry_after_is_passed_on) {
    HttpAnswer busy = answer(503);
    busy.retry_after_ms = 7000;
    EXPECT_EQ(failure_of(busy, "x", Known::no).retry_after_ms, 7000u);
}

TEST(S3Failures, name_the_region_that_the_server_names) {
    std::string text = "<Error><Code>AuthorizationHeaderMalformed</Code><Region>eu-west-3</Region></Error>";
    EXPECT_NE(failure_of(answer(400, {}, text), "x", Known::no).message.find("set region=eu-west-3"), std::string::npos);
}

TEST(S3Failures, name_where_a_redirect_goes_without_its_query) {
    std::string said = failure_of(answer(302, {{"location", "https://other.example/a?signature=secret"}}), "x", Known::no).message;
    EXPECT_NE(said.find("(to https://other.example/a)"), std::string::npos) << said;
}

TEST(S3Failures, say_how_far_the_clock_is_off) {
    EXPECT_EQ(seconds_between("Fri, 24 May 2013 00:10:00 GMT", 1369353600), 600);
    EXPECT_EQ(seconds_between("yesterday", 1369353600), 0);
    std::string text = "<Error><Code>RequestTimeTooSkewed</Code></Error>";
    Failure skewed = failure_of(answer(403, {{"date", "Fri, 24 May 2013 00:10:00 GMT"}}, text), "x", Known::no);
    EXPECT_EQ(skewed.kind, HYPER_NOT_ALLOWED);
    EXPECT_NE(skewed.message.find("s ahead of the server's: set it"), std::string::npos) << skewed.message;
}

TEST(S3Failures, of_a_servers_text_only_the_printable_is_shown) {
    std::string text = "<Error><Code>Odd</Code><Message>a\n\x1b[31mb" + std::string(5000, 'x') + "</Message></Error>";
    std::string said = failure_of(answer(403, {}, text), "x", Known::no).message;
    EXPECT_LT(said.size(), 400u);
    EXPECT_EQ(said.find('\n'), std::string::npos);
}

TEST(S3Object, of_an_answer_to_one_byte) {
    auto state = state_of(answer(206, {{"content-range", "bytes 0-0/1000"}, {"etag", "\"a\""}, {"x-amz-version-id", "v1"}}), "x");
    ASSERT_TRUE(state);
    EXPECT_EQ(state->size_bytes, 1000u);
    EXPECT_EQ(state->version, "v1");
    EXPECT_EQ(state->content(), "\"a\" 1000 bytes version v1");
}

TEST(S3Object, may_be_empty) {
    auto state = state_of(answer(416, {{"content-range", "bytes */0"}}), "x");
    ASSERT_TRUE(state);
    EXPECT_EQ(state->size_bytes, 0u);
}

TEST(S3Object, a_version_named_null_is_none) {
    EXPECT_EQ(state_of(answer(206, {{"content-range", "bytes 0-0/9"}, {"etag", "\"a\""}, {"x-amz-version-id", "null"}}), "x")->version, "");
}

TEST(S3Object, a_weak_etag_is_no_identity) {
    auto state = state_of(answer(206, {{"content-range", "bytes 0-0/9"}, {"etag", "W/\"a\""}, {"last-modified", "then"}}), "x");
    ASSERT_TRUE(state);
    EXPECT_EQ(state->content(), "");
    EXPECT_EQ(conditions(*state), (Headers{{"if-unmodified-since", "then"}}));
}

TEST(S3Object, is_not_read_where_ranges_are_ignored_or_changes_not_seen) {
    EXPECT_EQ(state_of(answer(200, {{"content-length", "1000"}, {"etag", "\"a\""}}), "x").error().kind, HYPER_BAD_CONFIGURATION);
    EXPECT_EQ(state_of(answer(206, {{"content-range", "bytes 0-0/1000"}}), "x").error().kind, HYPER_BAD_CONFIGURATION);
}

TEST(S3Documents, a_list_with_a_prefix_of_its_namespace) {
    auto found = listing("<a:ListBucketResult xmlns:a='x'><a:IsTruncated>true</a:IsTruncated><a:NextContinuationToken>t&amp;u</a:NextContinuationToken>"
                         "<a:Contents><a:Key>a&lt;b</a:Key><a:Size>5</a:Size></a:Contents></a:ListBucketResult>");
    ASSERT_TRUE(found);
    ASSERT_EQ(found->objects.size(), 1u);
    EXPECT_EQ(found->objects[0].key, "a<b");
    EXPECT_EQ(found->objects[0].size_bytes, 5u);
    EXPECT_EQ(found->next, "t&u");
}

TEST(S3Documents, that_are_something_else_are_errors) {
    EXPECT_FALSE(listing("<html>hello</html>"));
    EXPECT_FALSE(listing("<ListBucketResult>"));
    EXPECT_FALSE(listing("<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>"));
    EXPECT_FALSE(upload_id("<InitiateMultipartUploadResult/>"));
    EXPECT_EQ(server_error("not xml").code, "");
}

TEST(S3Documents, a_completion_that_failed_with_status_200) {
    EXPECT_EQ(completed("<Error><Code>InternalError</Code></Error>")->error.code, "InternalError");
    EXPECT_EQ(completed("<CompleteMultipartUploadResult><ETag>\"a-2\"</ETag></CompleteMultipartUploadResult>")->etag, "\"a-2\"");
}

TEST(S3Credentials, of_a_files_part) {
    std::string text = "# mine\n[default]\naws_access_key_id = A\naws_secret_access_key = B\n\n[other]\r\naws_access_key_id=C\r\n"
                       "aws_secret_access_key=D=\r\naws_session_token=E\r\n";
    auto other = credentials_in(text, "other", "f");
    ASSERT_TRUE(other);
    EXPECT_EQ(other->key_id, "C");
    EXPECT_EQ(other->secret, "D=");
    EXPECT_EQ(other->token, "E");
    EXPECT_EQ(credentials_in(text, "default", "f")->secret, "B");
    EXPECT_EQ(credentials_in(text, "none", "f").error().message, "f: has no part [none]");
    EXPECT_FALSE(credentials_in("[default]\naws_access_key_id = A\n", "default", "f"));
}

}  // namespace
}  // namespace hyper::s3
