// SPDX-License-Identifier: Apache-2.0
#include <fstream>

#include "blockengine/base/hash.h"
#include "fusefs/shelf.h"
#include "fusefs/tree.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

using test::must_run;
using test::ScratchDir;

TEST(Tree, keeps_nothing_of_a_name_that_was_only_asked_for) {
    ScratchDir scratch;
    must_run("qemu-img create -q -f raw " + scratch.path("disk.raw") + " 1M");
    auto catalog = Catalog::open(test::engine(), {scratch.dir().string()});
    ASSERT_TRUE(catalog);
    Tree tree(**catalog);
    auto inode_of = [](std::string_view path) { return load_le<uint64_t>(xxh3_128(bytes_of_text(path)).data()); };
    ASSERT_TRUE(tree.lookup(*tree.find(Tree::root_inode), "ghost.raw"));
    EXPECT_EQ(tree.find(inode_of("ghost.raw")), nullptr);
    auto name = tree.lookup(*tree.find(Tree::root_inode), "disk.raw");
    ASSERT_TRUE(name);
    EXPECT_EQ(tree.find(tree.node(*name).inode)->export_name, "disk");
    EXPECT_EQ(tree.node(*name).inode, inode_of("disk.raw"));
}

TEST(Shelf, opens_an_image_whose_damage_lies_elsewhere) {
    ScratchDir scratch;
    std::string image = scratch.path("disk.qcow2");
    // An L2 entry with a reserved bit, for the second of two clusters.
    must_run("qemu-img create -q -f qcow2 " + image + " 1M && qemu-io -c 'write -P 7 0 128k' " + image);
    std::fstream file(image, std::ios::binary | std::ios::in | std::ios::out);
    auto number_at = [&](std::streamoff offset) {
        std::byte bytes[8];
        file.seekg(offset).read(reinterpret_cast<char*>(bytes), sizeof bytes);
        return static_cast<std::streamoff>(load_be<uint64_t>(bytes) & 0x00fffffffffffe00);
    };
    auto l2 = number_at(number_at(40));
    file.seekp(l2 + 15).put('\x02');
    file.close();
    auto catalog = Catalog::open(test::engine(), {image});
    ASSERT_TRUE(catalog);
    auto opened = Shelf(**catalog).open("disk");
    ASSERT_TRUE(opened) << opened.error().message;
    std::vector<std::byte> buffer(65536);
    EXPECT_TRUE(test::engine().read(*(*opened)->source, 0, buffer));
    EXPECT_FALSE(test::engine().read(*(*opened)->source, 65536, buffer));
}

}  // namespace
}  // namespace hyper
