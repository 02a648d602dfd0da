// SPDX-License-Identifier: Apache-2.0
#include "convert/profile.h"

#include "tests/support/support.h"

namespace hyper {
namespace {

Result<std::shared_ptr<const Source>> open_profile(std::string_view name, uint64_t size_bytes) {
    ViewInput input;
    input.disk = test::pattern(size_bytes, {{0, 4096}});
    input.file_name = "disk." + std::string(format_name(find_profile(name)->format));
    input.engine = &test::engine();
    return open_profile_view(*find_profile(name), input);
}

TEST(Profile, is_known_by_its_name) {
    for (std::string_view name : {"aws", "azure", "gcp", "oci", "openstack", "alibaba", "vsphere", "hyperv"})
        EXPECT_NE(find_profile(name), nullptr) << name;
    EXPECT_EQ(find_profile("nonsense"), nullptr);
    EXPECT_EQ(find_profile(""), nullptr);
}

TEST(Profile, names_a_view_that_there_is) {
    for (const Profile& profile : profiles()) EXPECT_TRUE(find_view_kind(profile.format, profile.subformat)) << profile.name;
}

TEST(Profile, opens_a_small_disk_for_every_target) {
    for (const Profile& profile : profiles()) {
        auto view = open_profile(profile.name, 5 * MiB + 123);
        EXPECT_TRUE(view) << profile.name << ": " << view.error().message;
    }
}

TEST(Profile, pads_to_whole_mebibytes_for_azure) {
    auto view = open_profile("azure", 5 * MiB + 512);
    ASSERT_TRUE(view) << view.error().message;
    EXPECT_EQ((*view)->size_bytes(), 6 * MiB + 512) << "disk and footer";
}

TEST(Profile, pads_to_whole_gibibytes_for_gcp) {
    auto view = open_profile("gcp", GiB + 1);
    ASSERT_TRUE(view) << view.error().message;
    EXPECT_EQ((*view)->size_bytes(), 2 * GiB);
}

TEST(Profile, takes_a_disk_of_the_limit_and_says_why_not_a_larger_one) {
    struct Limit {
        std::string_view name;
        uint64_t size_bytes;
        std::string_view reason;
    };
    for (const Limit& limit : {Limit{"azure", 2040 * GiB, "2040 GiB"}, Limit{"aws", 16 * TiB, "16 TiB"},
                               Limit{"gcp", 64 * TiB, "64 TiB"}, Limit{"alibaba", 2 * TiB, "2 TiB"},
                               Limit{"oci", round_down(400'000'000'000, MiB), "400 GB"}}) {
        auto fits = open_profile(limit.name, limit.size_bytes);
        EXPECT_TRUE(fits) << limit.name << ": " << fits.error().message;
        auto too_large = open_profile(limit.name, limit.size_bytes + 1);
        ASSERT_FALSE(too_large) << limit.name;
        EXPECT_EQ(too_large.error().code, EFBIG) << limit.name;
        EXPECT_NE(too_large.error().message.find(limit.reason), std::string::npos) << too_large.error().message;
    }
}

}  // namespace
}  // namespace hyper
