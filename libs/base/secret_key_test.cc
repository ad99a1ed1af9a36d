// SPDX-License-Identifier: Apache-2.0
#include "libs/base/secret_key.h"

#include <gmock/gmock.h>

#include "libs/base/file.h"
#include "libs/base/strings.h"
#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki {
namespace {

using absl::StatusCode;
using testing::StatusIs;

SecretKey KeyOf(char byte) {
  return *SecretKey::FromBytes(std::string(32, byte));
}

// Test case 14 of the GCM specification (McGrew and Viega): key, nonce and plaintext all zero.
TEST(SecretKeyTest, OpensAPublishedVector) {
  const SecretKey key = KeyOf('\0');
  std::string sealed(12, '\0');
  for (const unsigned char c : {0xce, 0xa7, 0x40, 0x3d, 0x4d, 0x60, 0x6b, 0x6e, 0x07, 0x4e, 0xc5,
                                0xd3, 0xba, 0xf3, 0x9d, 0x18, 0xd0, 0xd1, 0xc8, 0xa7, 0x99, 0x99,
                                0x6b, 0xf0, 0x26, 0x5b, 0x98, 0xb5, 0xd4, 0x8a, 0xb9, 0x19}) {
    sealed.push_back(static_cast<char>(c));
  }
  ASSERT_OK_AND_ASSIGN(const std::string opened, key.Open("", sealed));
  EXPECT_EQ(opened, std::string(16, '\0'));
}

TEST(SecretKeyTest, OpensWhatWasSealedAndNothingElse) {
  const SecretKey key = SecretKey::Random();
  std::string sealed;
  key.Seal("header", "mess", "age", &sealed);
  EXPECT_EQ(sealed.size(), 7 + SecretKey::kOverhead);
  EXPECT_EQ(*key.Open("header", sealed), "message");
  for (size_t i = 0; i < sealed.size() * 8; ++i) {
    std::string damaged = sealed;
    damaged[i / 8] ^= static_cast<char>(1 << (i % 8));
    EXPECT_THAT(key.Open("header", damaged).status(), StatusIs(StatusCode::kDataLoss));
  }
  for (size_t n = 0; n < sealed.size(); ++n) {
    EXPECT_THAT(key.Open("header", sealed.substr(0, n)).status(), StatusIs(StatusCode::kDataLoss));
  }
  EXPECT_THAT(key.Open("other", sealed).status(), StatusIs(StatusCode::kDataLoss));
  EXPECT_THAT(SecretKey::Random().Open("header", sealed).status(), StatusIs(StatusCode::kDataLoss));
}

TEST(SecretKeyTest, TheSameMessageIsNeverSealedTheSame) {
  const SecretKey key = SecretKey::Random();
  std::string one, two;
  key.Seal("", "message", "", &one);
  key.Seal("", "message", "", &two);
  EXPECT_NE(one, two);
  EXPECT_EQ(one.find("message"), std::string::npos);
}

TEST(SecretKeyTest, WrapsKeysForOnePurpose) {
  const SecretKey wrapping = SecretKey::Random(), key = KeyOf('k');
  const std::string wrapped = wrapping.Wrap("user 1", key);
  ASSERT_OK_AND_ASSIGN(const SecretKey back, wrapping.Unwrap("user 1", wrapped));
  EXPECT_EQ(back.Fingerprint(), key.Fingerprint());
  EXPECT_THAT(wrapping.Unwrap("user 2", wrapped).status(), StatusIs(StatusCode::kDataLoss));
  EXPECT_NE(KeyOf('a').Fingerprint(), KeyOf('b').Fingerprint());
}

TEST(SecretKeyTest, ComesFromAFileOfItsOwnersAlone) {
  testing::TempDir folder;
  const std::string path = folder.File("key"), hex = HexEncode(std::string(32, 'k'));
  ASSERT_OK(WriteFileAtomically(path, hex + "\n", 0600));
  EXPECT_EQ(SecretKey::Load(path)->Fingerprint(), KeyOf('k').Fingerprint());
  ASSERT_OK(WriteFileAtomically(path, hex + "\n", 0644));
  EXPECT_THAT(SecretKey::Load(path).status(), StatusIs(StatusCode::kFailedPrecondition));
  for (const std::string& bad : {hex.substr(2), hex + "00", "x" + hex.substr(1), std::string()}) {
    ASSERT_OK(WriteFileAtomically(path, bad, 0600));
    EXPECT_THAT(SecretKey::Load(path).status(), StatusIs(StatusCode::kFailedPrecondition)) << bad;
  }
}

}  // namespace
}  // namespace dki
