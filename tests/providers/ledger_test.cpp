// SPDX-License-Identifier: Apache-2.0
#include "providers/ledger.h"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/support.h"

namespace hyper {
namespace {

class LedgerTest : public testing::Test {
  protected:
    std::vector<LedgerEntry> entries() { return ledger_.entries().value(); }
    test::ScratchDir scratch_;
    Ledger ledger_{scratch_.path("state/ledger")};
};

TEST_F(LedgerTest, is_empty_where_nothing_was_made) { EXPECT_TRUE(entries().empty()); }

TEST_F(LedgerTest, keeps_what_was_noted_until_it_is_forgotten) {
    uint64_t first = ledger_.note("libvirt", "libvirt://web01", "checkpoint", "hyper-abc").value();
    uint64_t second = ledger_.note("s3", "s3://bucket", "upload", "x\"y\n").value();
    auto all = entries();
    ASSERT_EQ(all.size(), 2u);
    EXPECT_EQ(all[0].provider, "libvirt");
    EXPECT_EQ(all[0].where, "libvirt://web01");
    EXPECT_EQ(all[0].kind, "checkpoint");
    EXPECT_EQ(all[0].id, "hyper-abc");
    EXPECT_EQ(all[1].id, "x\"y\n");
    ledger_.forget(first);
    ASSERT_EQ(entries().size(), 1u);
    EXPECT_EQ(entries()[0].provider, "s3");
    ledger_.forget(second);
    EXPECT_TRUE(entries().empty());
}

TEST_F(LedgerTest, knows_that_its_maker_lives) {
    ledger_.note("s3", "s3://bucket", "upload", "x").value();
    EXPECT_FALSE(Ledger::orphaned(entries().at(0)));
}

TEST_F(LedgerTest, knows_that_its_maker_was_killed) {
    pid_t child = ::fork();
    if (child == 0) {
        bool noted = ledger_.note("s3", "s3://bucket", "upload", "x").has_value();
        ::_exit(noted ? 0 : 1);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_EQ(status, 0);
    ASSERT_EQ(entries().size(), 1u);
    EXPECT_TRUE(Ledger::orphaned(entries()[0]));
}

TEST_F(LedgerTest, takes_a_process_of_the_same_number_for_another) {
    ledger_.note("s3", "s3://bucket", "upload", "x").value();
    LedgerEntry entry = entries().at(0);
    entry.pid_started += 1;
    EXPECT_TRUE(Ledger::orphaned(entry));
}

TEST_F(LedgerTest, leaves_alone_what_is_no_entry) {
    ledger_.note("s3", "s3://bucket", "upload", "x").value();
    std::ofstream(ledger_.folder() + "/1-1") << "{\"provider\": 3";
    std::ofstream(ledger_.folder() + "/.2-2") << "half";
    EXPECT_EQ(entries().size(), 1u);
    EXPECT_TRUE(std::filesystem::exists(ledger_.folder() + "/1-1"));
}

TEST_F(LedgerTest, says_when_it_cannot_be_written) {
    std::ofstream(scratch_.path("file")) << "x";
    Ledger impossible(scratch_.path("file/ledger"));
    auto noted = impossible.note("s3", "s3://bucket", "upload", "x");
    ASSERT_FALSE(noted);
    EXPECT_EQ(noted.error().code, ENOTDIR);
}

TEST(UniqueTexts, are_never_the_same) {
    EXPECT_NE(unique_text(), unique_text());
    EXPECT_LE(unique_text().size(), 32u);
    EXPECT_EQ(unique_text().find_first_not_of("abcdefghijklmnopqrstuvwxyz234567"), std::string::npos);
}

}  // namespace
}  // namespace hyper
