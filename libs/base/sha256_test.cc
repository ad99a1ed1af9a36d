// SPDX-License-Identifier: Apache-2.0
#include "libs/base/sha256.h"

#include <gtest/gtest.h>

#include "libs/base/ids.h"

namespace dki {
namespace {

// FIPS 180-4 examples.
TEST(Sha256Test, KnownDigests) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256Test, PiecesGiveTheDigestOfTheWholeAndFinishStartsAnew) {
  Sha256 digest;
  digest.Update("a");
  digest.Update("bc");
  EXPECT_EQ(digest.FinishHex(), Sha256Hex("abc"));
  EXPECT_EQ(digest.FinishHex(), Sha256Hex(""));
}

TEST(IdsTest, HavePrefixAndDifferentDigits) {
  const std::string id = NewId("mem_");
  EXPECT_EQ(id.size(), 36u);
  EXPECT_EQ(id.substr(0, 4), "mem_");
  EXPECT_EQ(id.find_first_not_of("0123456789abcdef", 4), std::string::npos);
  EXPECT_NE(id, NewId("mem_"));
}

}  // namespace
}  // namespace dki
