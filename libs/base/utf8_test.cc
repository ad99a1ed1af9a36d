// SPDX-License-Identifier: Apache-2.0
#include "libs/base/utf8.h"

#include <gtest/gtest.h>

namespace dki {
namespace {

TEST(Utf8Test, EveryCodePointRoundTrips) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    AppendUtf8(c, &text);
    const Utf8Char decoded = DecodeUtf8(text);
    ASSERT_TRUE(decoded.valid) << c;
    ASSERT_EQ(decoded.code_point, c);
    ASSERT_EQ(decoded.length, static_cast<int>(text.size()));
    for (size_t n = 1; n < text.size(); ++n) {
      ASSERT_EQ(CompleteUtf8Prefix(std::string_view(text).substr(0, n)), 0u) << c;
    }
    ASSERT_EQ(CompleteUtf8Prefix(text), text.size());
  }
}

TEST(Utf8Test, MalformedIsFound) {
  EXPECT_EQ(FindInvalidUtf8("ab\xC0\x80"), 2u);        // overlong
  EXPECT_EQ(FindInvalidUtf8("\xED\xA0\x80"), 0u);      // surrogate
  EXPECT_EQ(FindInvalidUtf8("\xF4\x90\x80\x80"), 0u);  // above U+10FFFF
  EXPECT_EQ(FindInvalidUtf8("a\xE2\x82"), 1u);         // truncated
  EXPECT_TRUE(IsValidUtf8("a€😀"));
}

TEST(Utf8Test, HopelessBytesAreNotHeldBack) {
  EXPECT_EQ(CompleteUtf8Prefix("a\xFF"), 2u);
}

}  // namespace
}  // namespace dki
