// SPDX-License-Identifier: Apache-2.0
#include "libs/base/ed25519.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

namespace dki {
namespace {

// A key file below the test's temporary folder.
std::string WriteKey(const std::string& text, std::filesystem::perms mode) {
  const std::string path = ::testing::TempDir() + "/ed25519_test.key";
  std::filesystem::remove(path);
  std::ofstream(path) << text;
  std::filesystem::permissions(path, mode);
  return path;
}

constexpr auto kOwner = std::filesystem::perms::owner_read | std::filesystem::perms::owner_write;

// RFC 8032, section 7.1, tests 1 and 2.
TEST(Ed25519, GivesTheSignaturesOfTheStandard) {
  const auto one = SigningKey::Load(
      WriteKey("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60\n", kOwner));
  ASSERT_TRUE(one.ok());
  EXPECT_EQ(one->public_key().substr(0, 4), "\xd7\x5a\x98\x01");
  EXPECT_EQ(one->Sign("").substr(0, 4), std::string("\xe5\x56\x43\x00", 4));
  const auto two = SigningKey::Load(
      WriteKey("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb", kOwner));
  ASSERT_TRUE(two.ok());
  EXPECT_EQ(two->Sign("\x72").substr(0, 4), "\x92\xa0\x09\xa9");
}

TEST(Ed25519, EveryChangeOfMessageSignatureOrKeyIsFound) {
  const SigningKey key = SigningKey::Generate();
  const std::string message = "erased";
  const std::string signature = key.Sign(message);
  EXPECT_TRUE(IsSignedBy(key.public_key(), message, signature));
  EXPECT_FALSE(IsSignedBy(SigningKey::Generate().public_key(), message, signature));
  for (size_t i = 0; i < signature.size(); ++i) {
    std::string other = signature;
    other[i] ^= 1;
    EXPECT_FALSE(IsSignedBy(key.public_key(), message, other)) << i;
  }
  for (size_t i = 0; i < message.size(); ++i) {
    std::string other = message;
    other[i] ^= 0x20;
    EXPECT_FALSE(IsSignedBy(key.public_key(), other, signature)) << i;
  }
  EXPECT_FALSE(IsSignedBy("", message, signature));
  EXPECT_FALSE(IsSignedBy(key.public_key(), message, ""));
}

TEST(Ed25519, AKeyIsKeptInAFileOfItsOwner) {
  const SigningKey key = SigningKey::Generate();
  const auto loaded = SigningKey::Load(WriteKey(key.ToHex() + "\n", kOwner));
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded->public_key(), key.public_key());
  EXPECT_TRUE(absl::IsFailedPrecondition(
      SigningKey::Load(WriteKey(key.ToHex(), kOwner | std::filesystem::perms::others_read))
          .status()));
  EXPECT_TRUE(absl::IsInvalidArgument(SigningKey::Load(WriteKey("zz", kOwner)).status()));
  EXPECT_TRUE(absl::IsNotFound(SigningKey::Load("/no/such/key").status()));
}

}  // namespace
}  // namespace dki
