// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/instant.h"

#include <gtest/gtest.h>

namespace hyper {
namespace {

TEST(Instant, reads_what_feeds_write) {
    struct Case {
        const char *text, *same;
    };
    for (const Case& one : {Case{"2022-01-01T00:00:00Z", "2022-01-01T00:00:00Z"}, Case{"2022-01-01", "2022-01-01T00:00:00Z"},
                            Case{"2022-01-01T07Z", "2022-01-01T07:00:00Z"}, Case{"2022-01-01 07:30", "2022-01-01T07:30:00Z"},
                            Case{"2021-10-08T13:00:00.123Z", "2021-10-08T13:00:00Z"}, Case{"2021-10-25T01:50:00+02:00", "2021-10-24T23:50:00Z"},
                            Case{"2021-12-31T23:50:00-0030", "2022-01-01T00:20:00Z"}, Case{"2024-02-29T12:00Z", "2024-02-29T12:00:00Z"},
                            Case{"1969-12-31T23:59:59Z", "1969-12-31T23:59:59Z"}}) {
        auto instant = parse_instant(one.text);
        ASSERT_TRUE(instant) << one.text;
        EXPECT_EQ(instant_text(*instant), one.same);
    }
}

TEST(Instant, refuses_what_is_no_time) {
    for (const char* text : {"", "2022", "2022-13-01", "2022-02-30", "2023-02-29", "2022-01-01T24:00Z", "2022-01-01T00:60Z", "2022-01-01T00:00:00X",
                             "2022-01-01T", "2022-01-01Tx", "2022-01-01T00:00:00+2:00", "22-01-01", "2022-01-01T00:00:00Zz", "2022-1-1"})
        EXPECT_FALSE(parse_instant(text)) << text;
}

}  // namespace
}  // namespace hyper
