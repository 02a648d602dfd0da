// SPDX-License-Identifier: Apache-2.0
#include "providers/s3/place.h"

#include <gtest/gtest.h>

#include <cstdlib>

namespace hyper::s3 {
namespace {

class S3Place : public testing::Test {
  protected:
    S3Place() {
        for (const char* name : {"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"}) unsetenv(name);
    }
    static std::string url(const std::string& uri, const provider::Options& options = {}) {
        auto place = Place::parse(uri, options);
        return place ? place->object(place->disk()).url() : place.error().message;
    }
};

TEST_F(S3Place, is_at_aws_by_default_and_by_host) {
    EXPECT_EQ(url("s3://images/web01.qcow2"), "https://images.s3.us-east-1.amazonaws.com/web01.qcow2");
    EXPECT_EQ(url("s3://images/a/web01.qcow2", {{"region", "eu-west-3"}}), "https://images.s3.eu-west-3.amazonaws.com/a/web01.qcow2");
}

TEST_F(S3Place, is_by_path_where_the_bucket_has_a_dot) {
    EXPECT_EQ(url("s3://my.images/web01.raw"), "https://s3.us-east-1.amazonaws.com/my.images/web01.raw");
}

TEST_F(S3Place, is_by_path_at_another_endpoint_unless_said_otherwise) {
    EXPECT_EQ(url("s3://images/web01.raw", {{"endpoint", "https://s3.example:9000"}}), "https://s3.example:9000/images/web01.raw");
    EXPECT_EQ(url("s3://images/web01.raw", {{"endpoint", "https://s3.example/"}, {"path-style", "false"}}), "https://images.s3.example/web01.raw");
}

TEST_F(S3Place, hosts_are_as_their_header_will_be) {
    EXPECT_EQ(Place::parse("s3://images/a", {{"endpoint", "https://S3.Example:443"}})->object("a").host, "s3.example");
    EXPECT_EQ(Place::parse("s3://images/a", {{"endpoint", "http://s3.example:80"}})->object("a").host, "s3.example");
    EXPECT_EQ(Place::parse("s3://images/a", {{"endpoint", "http://s3.example:443"}})->object("a").host, "s3.example:443");
}

TEST_F(S3Place, takes_region_and_endpoint_from_the_environment) {
    setenv("AWS_REGION", "eu-north-1", 1);
    EXPECT_EQ(url("s3://images/a"), "https://images.s3.eu-north-1.amazonaws.com/a");
    setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:7480", 1);
    EXPECT_EQ(url("s3://images/a"), "http://127.0.0.1:7480/images/a");
}

TEST_F(S3Place, keys_are_encoded_once) {
    EXPECT_EQ(url("s3://images/a b/50%.raw"), "https://images.s3.us-east-1.amazonaws.com/a%20b/50%25.raw");
}

TEST_F(S3Place, names_disks_by_what_follows_the_last_slash) {
    Place object = Place::parse("s3://images/a/web01.raw", {}).value(), folder = Place::parse("s3://images/a/", {}).value();
    EXPECT_EQ(object.disk(), "web01.raw");
    EXPECT_EQ(object.folder(), "a/");
    EXPECT_EQ(folder.disk(), "");
    EXPECT_EQ(folder.object("b/web01.raw").path, "/a/b/web01.raw");
    EXPECT_EQ(Place::parse("s3://images", {}).value().disk(), "");
}

TEST_F(S3Place, urls_are_asked_for_as_they_are) {
    EXPECT_EQ(url("https://host.example/a%20b/web01.qcow2?X-Amz-Signature=abc&x=1"), "https://host.example/a%20b/web01.qcow2?X-Amz-Signature=abc&x=1");
}

TEST_F(S3Place, shows_no_query_and_knows_a_url_again_without_its_signature) {
    auto place = [](const std::string& query) { return Place::parse("https://host.example/web01.raw?" + query, {}).value(); };
    EXPECT_EQ(place("X-Amz-Signature=abc").text(), "https://host.example/web01.raw");
    EXPECT_EQ(place("X-Amz-Signature=abc&v=1").disk_id(""), place("v=1&X-Amz-Date=2&X-Amz-Signature=def").disk_id(""));
    EXPECT_NE(place("v=1").disk_id(""), place("v=2").disk_id(""));
    EXPECT_EQ(place("v=secret").disk_id("").find("secret"), std::string::npos);
}

TEST_F(S3Place, refuses_what_it_does_not_understand) {
    EXPECT_NE(url("s3://images/a", {{"regoin", "x"}}).find("no option regoin"), std::string::npos);
    EXPECT_NE(url("s3://images/a", {{"path-style", "maybe"}}).find("neither true nor false"), std::string::npos);
    EXPECT_NE(url("s3://images/a", {{"endpoint", "ftp://host"}}).find("is no http:// or https:// URL"), std::string::npos);
    EXPECT_NE(url("s3://images/a", {{"endpoint", "https://host/path"}}).find("more than https://HOST"), std::string::npos);
    EXPECT_NE(url("s3:///a").find("no name of a bucket"), std::string::npos);
    EXPECT_NE(url("s3://ima ges/a").find("no name of a bucket"), std::string::npos);
    EXPECT_NE(url("https://host.example/").find("names no object"), std::string::npos);
    EXPECT_NE(url("https://host.example/a b").find("%XX"), std::string::npos);
    EXPECT_NE(url("https://host.example/a", {{"region", "x"}}).find("for s3:// alone"), std::string::npos);
}

TEST_F(S3Place, refuses_passwords_in_urls_without_repeating_them) {
    std::string said = url("https://me:hunter2@host.example/a");
    EXPECT_NE(said.find("password"), std::string::npos);
    EXPECT_EQ(said.find("hunter2"), std::string::npos);
}

}  // namespace
}  // namespace hyper::s3
