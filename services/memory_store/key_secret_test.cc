// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/key_secret.h"

#include <gmock/gmock.h>

namespace dki::memory_store {
namespace {

using ::testing::MatchesRegex;

TEST(KeySecretTest, ItHasTheDocumentedForm) {
  const KeySecret made = NewKeySecret();
  EXPECT_THAT(made.key_id, MatchesRegex("key_[0-9a-f]+"));
  EXPECT_EQ(made.key_id.size(), 20);
  EXPECT_THAT(made.secret, MatchesRegex("dki_[0-9a-f]+_[A-Za-z0-9_-]+"));
  EXPECT_EQ(made.secret.size(), 64);
  EXPECT_EQ(ClaimedKeyId(made.secret), made.key_id);
  EXPECT_NE(NewKeySecret().secret, made.secret);
}

TEST(KeySecretTest, WhatHasNotTheFormClaimsNoKey) {
  const std::string secret = NewKeySecret().secret;
  EXPECT_EQ(ClaimedKeyId(""), "");
  EXPECT_EQ(ClaimedKeyId(secret + "A"), "");
  EXPECT_EQ(ClaimedKeyId(secret.substr(1)), "");
  for (const auto& [position, character] :
       {std::pair<size_t, char>{0, 'D'}, {4, 'G'}, {4, '\0'}, {20, '-'}, {30, '='}, {63, '\xff'}}) {
    std::string bad = secret;
    bad[position] = character;
    EXPECT_EQ(ClaimedKeyId(bad), "") << position;
  }
}

TEST(KeySecretTest, OnlyTheSecretMatchesItsHash) {
  const std::string secret = NewKeySecret().secret;
  const HashedSecret hashed = HashSecret(secret);
  EXPECT_TRUE(Matches(hashed, secret));
  // Every character counts.
  for (size_t i = 0; i < secret.size(); ++i) {
    std::string other = secret;
    other[i] ^= 1;
    EXPECT_FALSE(Matches(hashed, other)) << i;
  }
  EXPECT_FALSE(Matches({.salt = hashed.salt, .hash = ""}, secret));
  // The same secret is never stored the same.
  EXPECT_NE(HashSecret(secret).hash, hashed.hash);
}

}  // namespace
}  // namespace dki::memory_store
