// SPDX-License-Identifier: Apache-2.0
// The examples of the S3 API reference, with their keys.
#include "providers/s3/signing.h"

#include <gtest/gtest.h>

namespace hyper::s3 {
namespace {

const Credentials keys{"AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", ""};
constexpr time_t then = 1369353600;  // 2013-05-24T00:00:00Z
const std::string of_nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

std::string header(const Headers& headers, const std::string& wanted) {
    for (const auto& [name, value] : headers)
        if (name == wanted) return value;
    return "";
}
std::string signature(const Signable& request) {
    std::string text = header(signed_headers(request, keys, "us-east-1", then), "authorization");
    return text.substr(text.find("Signature=") + 10);
}
Signable get(const std::string& path, const Parameters& query, const Headers& headers) {
    return {"GET", "examplebucket.s3.amazonaws.com", path, query, headers, of_nothing};
}

TEST(Signing, of_the_published_get_of_a_range) {
    EXPECT_EQ(signature(get("/test.txt", {}, {{"range", "bytes=0-9"}})), "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41");
}

TEST(Signing, of_the_published_put) {
    Signable put{"PUT", "examplebucket.s3.amazonaws.com", "/" + percent_encoded("test$file.text", true), {},
                 {{"date", "Fri, 24 May 2013 00:00:00 GMT"}, {"x-amz-storage-class", "REDUCED_REDUNDANCY"}},
                 "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"};
    EXPECT_EQ(signature(put), "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd");
}

TEST(Signing, of_the_published_query_without_a_value) {
    EXPECT_EQ(signature(get("/", {{"lifecycle", ""}}, {})), "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543");
}

TEST(Signing, of_the_published_list_whatever_the_order_of_its_query) {
    EXPECT_EQ(signature(get("/", {{"prefix", "J"}, {"max-keys", "2"}}, {})), "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7");
}

TEST(Signing, of_the_published_presigned_url) {
    std::string query = presigned_query(get("/test.txt", {}, {}), keys, "us-east-1", then, 86400);
    EXPECT_EQ(query,
              "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request"
              "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host"
              "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404");
}

TEST(Signing, signs_the_session_token_too) {
    Credentials session = keys;
    session.token = "a token";
    Headers headers = signed_headers(get("/test.txt", {}, {}), session, "us-east-1", then);
    EXPECT_EQ(header(headers, "x-amz-security-token"), "a token");
    EXPECT_NE(header(headers, "authorization").find("x-amz-date;x-amz-security-token,"), std::string::npos);
}

TEST(Signing, encodes_all_but_what_is_plain) {
    EXPECT_EQ(percent_encoded("a b/c+d~é", true), "a%20b/c%2Bd~%C3%A9");
    EXPECT_EQ(percent_encoded("a/b", false), "a%2Fb");
}

TEST(Signing, hashes_keys_that_are_longer_than_a_block) {
    Credentials session = keys;
    session.secret = std::string(100, 'x');  // made with botocore
    std::string text = header(signed_headers(get("/test.txt", {}, {}), session, "us-east-1", then), "authorization");
    EXPECT_EQ(text.substr(text.find("Signature=") + 10), "2f7842fa4a86a47862cfe69d791facf736dd7c4de039bbc6279fb8ffffc495e6");
}

}  // namespace
}  // namespace hyper::s3
