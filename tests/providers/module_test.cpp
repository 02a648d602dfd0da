// SPDX-License-Identifier: Apache-2.0
#include "providers/module.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/support.h"

namespace hyper {
namespace {

class ModuleTest : public testing::Test {
  protected:
    std::string file(const std::string& name) { return std::string(::getenv("HYPER_TEST_MODULES")) + "/hyper-test-" + name + ".so"; }
    std::string why_not(const std::string& path) {
        auto loaded = Module::load(path, ledger_);
        return loaded ? "" : loaded.error().message;
    }
    test::ScratchDir scratch_;
    Ledger ledger_{scratch_.path("ledger")};
};

size_t mapped_providers() {
    std::ifstream maps("/proc/self/maps");
    size_t found = 0;
    for (std::string line; std::getline(maps, line);) found += line.find("hyper-provider") != std::string::npos ? 1 : 0;
    return found;
}

TEST_F(ModuleTest, is_loaded_and_says_what_it_is) {
    auto loaded = Module::load(file("first-build"), ledger_).value();
    EXPECT_EQ(loaded->name(), "test");
    EXPECT_TRUE(loaded->takes("test"));
    EXPECT_FALSE(loaded->takes("tes"));
    EXPECT_FALSE(loaded->takes(""));
}

TEST_F(ModuleTest, is_unmapped_when_nobody_has_it) {
    auto loaded = Module::load(file("first-build"), ledger_).value();
    EXPECT_GT(mapped_providers(), 0u);
    loaded = nullptr;
    EXPECT_EQ(mapped_providers(), 0u);
}

TEST_F(ModuleTest, of_another_build_is_another_module) {
    auto first = Module::load(file("first-build"), ledger_).value(), second = Module::load(file("second-build"), ledger_).value();
    EXPECT_STREQ(first->table().version, "1");
    EXPECT_STREQ(second->table().version, "2");
}

TEST_F(ModuleTest, is_refused_wherever_it_was_cut_off) {
    std::ifstream whole(file("first-build"), std::ios::binary);
    std::string bytes{std::istreambuf_iterator<char>(whole), {}}, cut = scratch_.path("cut.so");
    for (size_t length = 0; length < bytes.size(); length += length < 4096 ? 61 : 509) {
        std::ofstream(cut, std::ios::binary | std::ios::trunc).write(bytes.data(), static_cast<std::streamsize>(length));
        EXPECT_NE(why_not(cut).find("cannot be loaded"), std::string::npos) << length << " bytes: " << why_not(cut);
    }
}

TEST_F(ModuleTest, is_refused_where_it_was_built_for_another_abi) {
    EXPECT_NE(why_not(file("another-abi")).find("ABI 3, and this is 2"), std::string::npos) << why_not(file("another-abi"));
}

TEST_F(ModuleTest, is_refused_where_it_lacks_a_callback) {
    EXPECT_NE(why_not(file("without-read")).find("lacks read"), std::string::npos) << why_not(file("without-read"));
}

TEST_F(ModuleTest, is_refused_where_it_refuses) {
    EXPECT_NE(why_not(file("refusing")).find("refuses to work"), std::string::npos);
}

TEST_F(ModuleTest, is_refused_where_its_own_check_fails) {
    EXPECT_NE(why_not(file("failing-its-check")).find("its library is missing"), std::string::npos) << why_not(file("failing-its-check"));
}

TEST_F(ModuleTest, is_refused_where_it_is_no_provider) {
    EXPECT_NE(why_not(file("no-provider")).find("hyper_provider_entry"), std::string::npos);
    std::ofstream(scratch_.path("text.so")) << "this is no library";
    EXPECT_NE(why_not(scratch_.path("text.so")).find("cannot be loaded"), std::string::npos);
    EXPECT_NE(why_not(scratch_.path("nothing.so")).find("no such file"), std::string::npos) << why_not(scratch_.path("nothing.so"));
    EXPECT_EQ(mapped_providers(), 0u);
}

}  // namespace
}  // namespace hyper
