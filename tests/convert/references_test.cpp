// SPDX-License-Identifier: Apache-2.0
// The rules for names that stand inside images: opening.h. Every name here is what a hostile image could hold.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "convert/image.h"
#include "convert/opening.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

using namespace std::string_literals;
namespace fs = std::filesystem;

// images/ holds the image that refers; images/sub, other/ and allowed/ are around it. Each file's content is its name.
class References : public ::testing::Test {
  protected:
    void SetUp() override {
        for (const char* dir : {"images", "images/sub", "other", "allowed", "allowed-not"})
            fs::create_directory(scratch_.dir() / dir);
        for (const char* file : {"images/child", "images/parent", "images/sub/parent", "images/with space",
                                 "other/secret", "allowed/base", "allowed-not/base"})
            test::write_file(path(file), bytes_of_text(file));
        auto child = File::open(path("images/child"), test::engine().io());
        ASSERT_TRUE(child) << child.error().message;
        child_ = *child;
    }

    std::string path(const std::string& name) { return scratch_.path(name); }

    Result<std::shared_ptr<const File>> follow(const std::string& name) {
        return Opening(test::engine(), options_).open_reference(*child_, "backing file", name);
    }

    void expect_opens(const std::string& name, const std::string& content) {
        auto file = follow(name);
        ASSERT_TRUE(file) << file.error().message;
        std::vector<std::byte> bytes((*file)->size_bytes());
        ASSERT_TRUE((*file)->read(0, bytes));
        EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), content);
    }
    // The message names the image and the field.
    void expect_refused(const std::string& name, int code) {
        auto file = follow(name);
        ASSERT_FALSE(file) << name << " was opened";
        EXPECT_EQ(file.error().code, code) << file.error().message;
        EXPECT_NE(file.error().message.find("images/child"), std::string::npos) << file.error().message;
        EXPECT_NE(file.error().message.find("backing file"), std::string::npos) << file.error().message;
    }

    test::ScratchDir scratch_;
    std::shared_ptr<const File> child_;
    OpenOptions options_;
};

TEST_F(References, lead_to_files_beside_and_beneath_the_image) {
    expect_opens("parent", "images/parent");
    expect_opens("./parent", "images/parent");
    expect_opens("sub/parent", "images/sub/parent");
    expect_opens("sub/../parent", "images/parent");
    expect_opens("with space", "images/with space");
}

TEST_F(References, may_be_absolute_within_the_folder) { expect_opens(path("images/parent"), "images/parent"); }

TEST_F(References, do_not_lead_up_and_out) {
    expect_refused("../other/secret", EPERM);
    expect_refused("sub/../../other/secret", EPERM);
    expect_refused("../../../../../../../../etc/shadow", EPERM);
    expect_refused("..", EPERM);
}

TEST_F(References, do_not_lead_to_absolute_places_outside) {
    expect_refused(path("other/secret"), EPERM);
    expect_refused("/etc/shadow", EPERM);
    expect_refused("/etc/hostname", EPERM);
}

TEST_F(References, do_not_tell_whether_a_file_outside_exists) {
    auto there = follow("../other/secret"), missing = follow("../other/nothing");
    ASSERT_FALSE(there);
    ASSERT_FALSE(missing);
    EXPECT_EQ(there.error().code, missing.error().code);
}

TEST_F(References, lead_into_allowed_folders) {
    options_.allowed_dirs = {path("allowed")};
    expect_opens("../allowed/base", "allowed/base");
    expect_opens(path("allowed/base"), "allowed/base");
    options_.allowed_dirs = {path("allowed") + "/"};
    expect_opens("../allowed/base", "allowed/base");
}

TEST_F(References, do_not_lead_around_allowed_folders) {
    options_.allowed_dirs = {path("allowed")};
    expect_refused("../other/secret", EPERM);
    expect_refused("../allowed/../other/secret", EPERM);
    expect_refused(path("allowed-not/base"), EPERM);
}

TEST_F(References, follow_symbolic_links_that_stay_inside) {
    fs::create_symlink("sub/parent", path("images/link"));
    fs::create_symlink("sub", path("images/dir-link"));
    expect_opens("link", "images/sub/parent");
    expect_opens("dir-link/parent", "images/sub/parent");
}

TEST_F(References, do_not_follow_symbolic_links_that_lead_out) {
    fs::create_symlink("../other/secret", path("images/link"));
    fs::create_symlink(path("other/secret"), path("images/absolute-link"));
    fs::create_symlink("../other", path("images/dir-link"));
    fs::create_symlink("link", path("images/link-to-link"));
    expect_refused("link", EPERM);
    expect_refused("absolute-link", EPERM);
    expect_refused("dir-link/secret", EPERM);
    expect_refused("link-to-link", EPERM);
}

TEST_F(References, do_not_follow_links_that_lead_out_of_allowed_folders) {
    fs::create_symlink("../other/secret", path("allowed/link"));
    options_.allowed_dirs = {path("allowed")};
    expect_refused("../allowed/link", EPERM);
}

TEST_F(References, end_for_links_that_loop) {
    fs::create_symlink("b", path("images/a"));
    fs::create_symlink("a", path("images/b"));
    expect_refused("a", ELOOP);
}

TEST_F(References, do_not_follow_magic_links) {
    int secret = ::open(path("other/secret").c_str(), O_RDONLY | O_CLOEXEC);
    ASSERT_GE(secret, 0);
    std::string magic = "/proc/self/fd/" + std::to_string(secret);
    expect_refused(magic, EPERM);
    fs::create_symlink(magic, path("images/link"));
    expect_refused("link", EPERM);
    options_.allowed_dirs = {"/proc/self/fd"};
    auto file = follow(magic);
    EXPECT_FALSE(file);
    ::close(secret);
}

TEST_F(References, are_not_urls) {
    for (const char* name : {"nbd://host/export", "nbd:unix:/run/socket", "json:{}", "json:{\"driver\":\"file\"}",
                             "file:parent", "file:///etc/shadow", "http://host/x", "fat:rw:.", "C:/vm/parent"})
        expect_refused(name, EPERM);
    // Also where such a file exists.
    test::write_file(path("images/json:{}"), bytes_of_text("x"));
    expect_refused("json:{}", EPERM);
}

TEST_F(References, are_not_empty_and_hold_no_nul) {
    expect_refused("", EINVAL);
    expect_refused("parent\0"s, EINVAL);
    expect_refused("parent\0/../../other/secret"s, EINVAL);
}

TEST_F(References, lead_to_files_only) {
    ASSERT_EQ(::mkfifo(path("images/fifo").c_str(), 0600), 0);
    for (const char* name : {"sub", ".", "fifo"}) {
        auto file = follow(name);
        ASSERT_FALSE(file) << name;
        EXPECT_EQ(file.error().code, EINVAL) << file.error().message;
    }
    options_.allowed_dirs = {"/dev"};
    auto device = follow("/dev/zero");
    ASSERT_FALSE(device);
    EXPECT_EQ(device.error().code, EINVAL) << device.error().message;
}

TEST_F(References, to_what_is_missing_say_so) {
    expect_refused("nothing", ENOENT);
    expect_refused("sub/nothing", ENOENT);
    expect_refused("nothing/at/all", ENOENT);
}

TEST_F(References, to_an_overlong_name_end_in_an_error) {
    expect_refused(std::string(300, 'x'), ENAMETOOLONG);
    expect_refused(std::string(100000, 'x'), ENAMETOOLONG);
}

}  // namespace
}  // namespace hyper
