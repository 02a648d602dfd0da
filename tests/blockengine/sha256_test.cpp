// SPDX-License-Identifier: Apache-2.0
#include "blockengine/base/sha256.h"

#include "blockengine/base/hex.h"
#include "tests/support/support.h"

namespace hyper {
namespace {

// The examples of FIPS 180-4's companion documents.
TEST(Sha256, gives_the_examples_of_the_standard) {
    EXPECT_EQ(hex(sha256({})),
              "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    EXPECT_EQ(hex(sha256({bytes_of_text("abc")})),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    std::string million(1000000, 'a');
    EXPECT_EQ(hex(sha256({bytes_of_text(million)})),
              "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
}

TEST(Sha256, takes_parts_as_one_run_of_bytes) {
    std::string text(1000, 'x');
    for (size_t i = 0; i < text.size(); ++i) text[i] = static_cast<char>(i * 7);
    Sha256 whole = sha256({bytes_of_text(text)});
    for (size_t cut : {0, 1, 63, 64, 65, 999, 1000}) {
        std::string_view head = std::string_view(text).substr(0, cut),
                         tail = std::string_view(text).substr(cut);
        EXPECT_EQ(sha256({bytes_of_text(head), {}, bytes_of_text(tail)}), whole) << cut;
    }
}

}  // namespace
}  // namespace hyper
