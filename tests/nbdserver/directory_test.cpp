// SPDX-License-Identifier: Apache-2.0
// What clients may see (a door with its rules), and the catalog as a directory of exports.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "nbdserver/catalog_directory.h"
#include "nbdserver/door.h"
#include "tests/support/support.h"

namespace hyper::nbd {
namespace {

using Names = std::vector<std::string>;

Names names_of(Directory& directory) {
    Names names;
    for (const Listed& item : directory.list()) names.push_back(item.name);
    return names;
}

bool lists(Directory& directory, const std::string& name) {
    Names names = names_of(directory);
    return std::find(names.begin(), names.end(), name) != names.end();
}

// An empty one after a failure.
std::shared_ptr<const nbd::Export> must_open(Directory& directory, const std::string& name) {
    auto exported = directory.open(name);
    EXPECT_TRUE(exported) << exported.error().message;
    return exported ? *exported : std::make_shared<nbd::Export>();
}

int open_error(Directory& directory, const std::string& name) {
    auto exported = directory.open(name);
    return exported ? 0 : exported.error().code;
}

// A folder with two raw disks and a qcow2 one.
class DirectoryTest : public testing::Test {
  protected:
    void SetUp() override {
        std::filesystem::create_directory(scratch_.path("disks"));
        write("one", 'a');
        write("two", 'b');
        test::must_run("qemu-img create -q -f qcow2 " + scratch_.path("disks/three.qcow2") + " 1M");
        auto catalog = Catalog::open(test::engine(), {scratch_.path("disks")});
        ASSERT_TRUE(catalog) << catalog.error().message;
        catalog_ = std::move(*catalog);
    }
    std::string path(const std::string& name) const {
        return scratch_.path("disks/" + name + ".raw");
    }
    void write(const std::string& name, char fill) {
        test::write_file(path(name), bytes_of_text(std::string(65536, fill)));
    }
    std::shared_ptr<Directory> directory(bool writing) {
        return std::make_shared<CatalogDirectory>(*catalog_, writing);
    }
    // The first byte of an export.
    static char first_byte(const nbd::Export& exported) {
        std::byte byte{};
        EXPECT_TRUE(test::engine().read(*exported.source, 0, {&byte, 1}));
        return static_cast<char>(byte);
    }
    // What a local client may see by these rules.
    std::shared_ptr<Directory> allowed(const std::string& rules, bool writing) {
        test::write_file(scratch_.path("rules.toml"), bytes_of_text(rules));
        auto loaded = Rules::load(scratch_.path("rules.toml"));
        EXPECT_TRUE(loaded) << loaded.error().message;
        Peer peer;
        peer.local = true;
        return Door(directory(writing), *loaded, nullptr).directory_for(peer);
    }

    test::ScratchDir scratch_;
    std::unique_ptr<Catalog> catalog_;
};

const std::string reads_one = "[[allow]]\nwho = [\"local\"]\nread = [\"one\"]\n";
const std::string writes_one =
    "[[allow]]\nwho = [\"local\"]\nread = [\"two\"]\nwrite = [\"one\"]\n";

TEST_F(DirectoryTest, rules_hide_disks_and_their_views_from_the_list) {
    auto all = allowed(reads_one, false);
    EXPECT_TRUE(lists(*all, "one"));
    EXPECT_TRUE(lists(*all, "one.vmdk"));
    for (const std::string& name : names_of(*all)) EXPECT_TRUE(name.starts_with("one")) << name;
}

TEST_F(DirectoryTest, what_rules_hide_cannot_be_opened) {
    auto all = allowed(reads_one, false);
    EXPECT_EQ(open_error(*all, "one.vmdk"), 0);
    for (std::string name : {"two", "two.vmdk", "three", "nosuch"})
        EXPECT_EQ(open_error(*all, name), EACCES) << name;
}

TEST_F(DirectoryTest, a_default_that_is_hidden_is_not_opened_either) {
    std::filesystem::remove(path("two"));
    std::filesystem::remove(scratch_.path("disks/three.qcow2"));
    EXPECT_EQ(open_error(*allowed(reads_one, false), ""), 0);
    EXPECT_EQ(open_error(*allowed("", false), ""), EACCES);
}

TEST_F(DirectoryTest, who_may_only_read_gets_no_writable_export) {
    auto all = allowed(writes_one, true);
    EXPECT_TRUE(must_open(*all, "one")->writable);
    EXPECT_FALSE(must_open(*all, "two")->writable);
}

TEST_F(DirectoryTest, changed_rules_hold_for_those_who_come_later) {
    test::write_file(scratch_.path("none.toml"), bytes_of_text(""));
    test::write_file(scratch_.path("one.toml"), bytes_of_text(reads_one));
    auto none = Rules::load(scratch_.path("none.toml")),
         one = Rules::load(scratch_.path("one.toml"));
    Peer peer;
    peer.local = true;
    Door door(directory(false), *one, nullptr);
    auto before = door.directory_for(peer);
    door.change(*none, nullptr);
    EXPECT_EQ(open_error(*before, "one"), 0);
    EXPECT_EQ(open_error(*door.directory_for(peer), "one"), EACCES);
}

TEST_F(DirectoryTest, nothing_is_writable_unless_it_is_wished) {
    EXPECT_FALSE(must_open(*directory(false), "one")->writable);
    EXPECT_TRUE(must_open(*directory(true), "one")->writable);
}

TEST_F(DirectoryTest, only_raw_disks_are_writable) {
    EXPECT_FALSE(must_open(*directory(true), "three")->writable);
}

TEST_F(DirectoryTest, views_of_what_can_be_written_are_neither_listed_nor_opened) {
    auto writing = directory(true);
    EXPECT_TRUE(lists(*writing, "one"));
    EXPECT_TRUE(lists(*writing, "three.vmdk"));
    EXPECT_FALSE(lists(*writing, "one.vmdk"));
    EXPECT_EQ(open_error(*writing, "one.vmdk"), EACCES);
    EXPECT_EQ(open_error(*writing, "three.vmdk"), 0);
}

TEST_F(DirectoryTest, what_another_holds_for_writing_is_busy) {
    int other = ::open(path("one").c_str(), O_RDWR | O_CLOEXEC);
    ASSERT_EQ(::flock(other, LOCK_EX | LOCK_NB), 0);
    auto writing = directory(true);
    EXPECT_EQ(open_error(*writing, "one"), EBUSY);
    ::close(other);
    EXPECT_EQ(open_error(*writing, "one"), 0);
}

TEST_F(DirectoryTest, its_clients_share_one_lock) {
    auto writing = directory(true);
    auto first = writing->open("one"), second = writing->open("one");
    ASSERT_TRUE(first && second);
    EXPECT_EQ((*first)->writable, (*second)->writable);
    EXPECT_EQ(open_error(*directory(true), "one"), EBUSY);
}

TEST_F(DirectoryTest, a_file_that_has_grown_is_served_so_to_whom_comes_later) {
    auto writing = directory(true);
    auto before = writing->open("one");
    ASSERT_TRUE(before);
    uint64_t size = (*before)->size_bytes();
    std::filesystem::resize_file(path("one"), size + 4096);
    auto after = writing->open("one");
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_EQ((*before)->size_bytes(), size);
    EXPECT_EQ((*after)->size_bytes(), size + 4096);
    EXPECT_EQ(open_error(*directory(true), "one"), EBUSY);
}

TEST_F(DirectoryTest, a_file_that_was_replaced_is_opened_anew) {
    auto writing = directory(true);
    auto before = writing->open("one");
    ASSERT_TRUE(before);
    write("new", 'z');
    std::filesystem::rename(path("new"), path("one"));
    auto after = writing->open("one");
    ASSERT_TRUE(after) << after.error().message;
    EXPECT_EQ(first_byte(**before), 'a');
    EXPECT_EQ(first_byte(**after), 'z');
}

TEST_F(DirectoryTest, exports_have_both_contexts) {
    for (bool writing : {false, true}) {
        auto exported = directory(writing)->open("one");
        ASSERT_TRUE(exported);
        ASSERT_EQ((*exported)->contexts.size(), 2u);
        EXPECT_EQ((*exported)->contexts[0]->name(), "base:allocation");
        EXPECT_EQ((*exported)->contexts[1]->name(), "qemu:allocation-depth");
    }
}

TEST_F(DirectoryTest, a_context_stops_when_its_visitor_does) {
    test::must_run("qemu-io -c 'write 0 64k' -c 'write 128k 64k' " +
                   scratch_.path("disks/three.qcow2"));
    auto exported = directory(false)->open("three");
    ASSERT_TRUE(exported);
    for (const auto& context : (*exported)->contexts) {
        std::vector<uint64_t> lengths;
        EXPECT_TRUE(context->describe(4096, 512 << 10, [&](uint64_t length, uint64_t) {
            lengths.push_back(length);
            return lengths.size() < 2;
        }));
        EXPECT_EQ(lengths, (std::vector<uint64_t>{60 << 10, 64 << 10})) << context->name();
    }
}

}  // namespace
}  // namespace hyper::nbd
