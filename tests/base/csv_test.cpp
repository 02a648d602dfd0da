// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/csv.h"

#include <gtest/gtest.h>

namespace hyper {
namespace {

TEST(Csv, reads_quotes_comments_and_line_ends) {
    auto table = CsvTable::parse("# first, a comment\na,b\r\n1,\"x, \"\"y\"\"\nz\"\r\n\n2,", "t.csv");
    ASSERT_TRUE(table) << table.error().message;
    ASSERT_EQ(table->row_count(), 2u);
    EXPECT_EQ(table->cell(0, 1), "x, \"y\"\nz");
    EXPECT_EQ(table->cell(1, 1), "");
    EXPECT_EQ(*table->column("b"), 1u);
    EXPECT_EQ(**table->number(1, 0), 2);
    EXPECT_EQ(*table->number(1, 1), std::nullopt);
}

TEST(Csv, says_where_it_is_wrong) {
    EXPECT_EQ(CsvTable::parse("a,b\n1,2\n3\n", "t.csv").error().message, "t.csv: line 3: 1 fields where the header has 2");
    EXPECT_EQ(CsvTable::parse("a\n\"1\n", "t.csv").error().message, "t.csv: line 2: a quote is not closed");
    EXPECT_EQ(CsvTable::parse("# nothing", "t.csv").error().message, "t.csv: is empty; a header line is needed");
    auto table = CsvTable::parse("a,b\n1,1e999\nx,nan\n", "t.csv");
    ASSERT_TRUE(table);
    EXPECT_EQ(table->column("c").error().message, "t.csv: has no column \"c\"; it has a, b");
    EXPECT_EQ(table->number(1, 0).error().message, "t.csv: line 3: a \"x\" is no number");
    EXPECT_FALSE(table->number(0, 1));
    EXPECT_FALSE(table->number(1, 1)) << "nan is no number";
    EXPECT_EQ(CsvTable::read("/nonexistent/t.csv").error().code, ENOENT);
    EXPECT_FALSE(CsvTable::read("/"));
}

}  // namespace
}  // namespace hyper
