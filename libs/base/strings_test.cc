// SPDX-License-Identifier: Apache-2.0
#include "libs/base/strings.h"

#include <gtest/gtest.h>

namespace dki {
namespace {

TEST(StringsTest, HexEncode) {
  EXPECT_EQ(HexEncode(std::string("\x00\x7f\xff", 3)), "007fff");
}

TEST(StringsTest, Trim) {
  EXPECT_EQ(Trim(" \t a b \n"), "a b");
  EXPECT_EQ(Trim(" \n "), "");
}

TEST(StringsTest, FoldNewlinesKeepsOtherSpaces) {
  EXPECT_EQ(FoldNewlines("a  b \r\n\n c\td"), "a  b c\td");
  EXPECT_EQ(FoldNewlines("\n"), " ");
  EXPECT_EQ(FoldNewlines(""), "");
}

TEST(StringsTest, AbbreviateCutsAtACharacter) {
  EXPECT_EQ(Abbreviate("abc", 3), "abc");
  EXPECT_EQ(Abbreviate("aé", 2), "a…");
}

}  // namespace
}  // namespace dki
