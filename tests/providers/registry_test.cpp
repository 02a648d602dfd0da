// SPDX-License-Identifier: Apache-2.0
#include "providers/registry.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "providers/callers.h"
#include "providers/connection.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

namespace fs = std::filesystem;

class RegistryTest : public testing::Test {
  protected:
    static std::string build(const std::string& name) { return std::string(::getenv("HYPER_TEST_MODULES")) + "/hyper-test-" + name + ".so"; }
    // Over what is there, in place: the worst way to install a new build.
    void install(const std::string& from) {
        std::ifstream in(from, std::ios::binary);
        std::ofstream(installed_, std::ios::binary | std::ios::trunc) << in.rdbuf();
        // Times of files are coarse; another build has another time.
        fs::last_write_time(installed_, fs::file_time_type::clock::now() + std::chrono::seconds(++installs_));
    }
    std::string version() { return registry_.for_scheme("test").value()->table().version; }

    test::ScratchDir scratch_;
    std::string installed_ = scratch_.path("hyper-provider-test.so");
    int installs_ = 0;
    Registry registry_{{scratch_.dir().string()}, scratch_.path("ledger")};
};

TEST_F(RegistryTest, finds_a_provider_by_scheme_and_by_name) {
    install(build("first-build"));
    EXPECT_EQ(registry_.for_scheme("test").value(), registry_.for_name("test").value());
}

TEST_F(RegistryTest, says_what_there_is_for_an_unknown_scheme) {
    install(build("first-build"));
    auto found = registry_.for_scheme("htp");
    ASSERT_FALSE(found);
    EXPECT_NE(found.error().message.find("no provider takes htp:// (there are: test)"), std::string::npos) << found.error().message;
}

TEST_F(RegistryTest, gives_new_users_the_new_build_and_leaves_the_old_one_to_its_users) {
    install(build("first-build"));
    auto connection = Connection::open(registry_.for_scheme("test").value(), "test:///x").value();
    install(build("second-build"));
    EXPECT_EQ(version(), "2");
    auto snapshot = connection->take_snapshot({{"1"}, false, {}}).value();
    EXPECT_EQ(snapshot->describe(0).value().identity, "test:1");
    EXPECT_EQ(registry_.all().at(0).older_builds, 1u);
    snapshot = nullptr;
    connection = nullptr;
    ASSERT_TRUE(Callers::instance().drain(std::chrono::steady_clock::now() + std::chrono::minutes(1)));
    EXPECT_EQ(registry_.all().at(0).older_builds, 0u);
}

TEST_F(RegistryTest, keeps_the_old_build_where_the_new_one_is_refused) {
    install(build("first-build"));
    EXPECT_EQ(version(), "1");
    for (const char* bad : {"another-abi", "without-read", "failing-its-check", "no-provider"}) {
        install(build(bad));
        EXPECT_EQ(version(), "1") << bad;
        EXPECT_FALSE(registry_.all().at(0).problem.empty()) << bad;
    }
    install(build("second-build"));
    EXPECT_EQ(version(), "2");
    EXPECT_TRUE(registry_.all().at(0).problem.empty());
}

TEST_F(RegistryTest, loads_a_build_from_elsewhere_and_forgets_one) {
    install(build("first-build"));
    EXPECT_EQ(version(), "1");
    ASSERT_TRUE(registry_.load(build("second-build")));
    EXPECT_EQ(version(), "2");
    ASSERT_FALSE(registry_.load(build("without-read")));
    EXPECT_EQ(version(), "2");
    ASSERT_TRUE(registry_.unload("test"));
    EXPECT_FALSE(registry_.for_scheme("test"));
    ASSERT_TRUE(registry_.load(build("first-build")));
    EXPECT_EQ(version(), "1");
}

TEST(Uris, have_a_scheme) {
    EXPECT_EQ(uri_scheme("nbd+unix:///x"), "nbd+unix");
    EXPECT_EQ(uri_scheme("/a/path"), "");
    EXPECT_EQ(uri_scheme("a/path://x"), "");
    EXPECT_EQ(uri_scheme("://x"), "");
}

TEST(Uris, are_shown_without_secrets) {
    EXPECT_EQ(shown_uri("s3://bucket/key?X-Amz-Signature=abc"), "s3://bucket/key");
    EXPECT_EQ(shown_uri("nbds://me:secret@host:10809/x"), "nbds://me@host:10809/x");
    EXPECT_EQ(shown_uri("nbds://me@host/x@y:z"), "nbds://me@host/x@y:z");
}

}  // namespace
}  // namespace hyper
