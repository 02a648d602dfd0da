// SPDX-License-Identifier: Apache-2.0
// Empty overlays: what qemu-img, our checker and our reader say of them.
#include <cerrno>
#include <fstream>

#include "convert/qcow2/overlay.h"
#include "tests/qcow2/qcow2_support.h"

namespace hyper {
namespace {

using test::must_run;
using test::ScratchDir;

void write_overlay(const Qcow2Overlay& overlay, const std::string& path) {
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char*>(overlay.head.data()), static_cast<std::streamsize>(overlay.head.size()));
    file.close();
    std::filesystem::resize_file(path, overlay.size_bytes);
}

TEST(Qcow2Overlay, reads_as_what_it_lies_over_and_takes_what_is_written) {
    ScratchDir scratch;
    std::string backing = scratch.path("backing.raw"), path = scratch.path("overlay.qcow2");
    must_run("head -c 3000001 /dev/urandom >" + backing);
    auto overlay = empty_qcow2_overlay(3000001, backing, Format::raw);
    ASSERT_TRUE(overlay) << overlay.error().message;
    write_overlay(*overlay, path);
    must_run("qemu-img check -q -f qcow2 " + path);
    must_run("qemu-img compare -f qcow2 -F raw " + path + " " + backing);
    EXPECT_EQ(test::run("qemu-img info --output=json " + path + " | grep -c '\"backing-filename-format\": \"raw\"'").output, "1\n");
    EXPECT_EQ(test::text_of(test::check_file(path)), "");
    must_run("qemu-io -f qcow2 -c 'write -P 7 1000000 200000' " + path + " && qemu-img check -q -f qcow2 " + path);
    must_run("qemu-io -f qcow2 -c 'read -P 7 1000000 200000' " + path);
}

TEST(Qcow2Overlay, may_be_of_64_tib) {
    ScratchDir scratch;
    std::string path = scratch.path("overlay.qcow2");
    must_run("truncate -s 15T " + scratch.path("backing.raw"));
    for (uint64_t disk_bytes : {uint64_t{512}, 15 * TiB, 64 * TiB}) {
        auto overlay = empty_qcow2_overlay(disk_bytes, scratch.path("backing.raw"), Format::raw);
        ASSERT_TRUE(overlay) << overlay.error().message;
        write_overlay(*overlay, path);
        must_run("qemu-img check -q -f qcow2 " + path);
    }
}

TEST(Qcow2Overlay, refuses_what_qcow2_cannot_say) {
    auto long_name = empty_qcow2_overlay(512, std::string(1024, 'x'), Format::raw);
    ASSERT_FALSE(long_name);
    EXPECT_EQ(long_name.error().code, EINVAL);
    auto large = empty_qcow2_overlay(65 * TiB, "x", Format::raw);
    ASSERT_FALSE(large);
    EXPECT_EQ(large.error().code, EFBIG);
}

}  // namespace
}  // namespace hyper
