// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/block.h"

#include <gmock/gmock.h>

#include <cstring>
#include <functional>

#include "libs/kvcache/test_blocks.h"
#include "libs/testing/status_matchers.h"

namespace dki::kvcache {
namespace {

using kernels::KvFormat;
using ::testing::HasSubstr;
using testing::StatusIs;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

TEST(BlockCodecTest, DecodesWhatWasEncoded) {
  const Block block = TestBlock({.memory_id = "m2", .chain = {"m1", "m2"}, .n_tokens = 5});
  ASSERT_OK_AND_ASSIGN(const Block decoded,
                       DecodeBlock(Encoded(block), block.identity, TestCodec()));
  EXPECT_EQ(decoded.identity, block.identity);
  EXPECT_EQ(decoded.chain_memory_ids, block.chain_memory_ids);
  EXPECT_EQ(decoded.tokens, block.tokens);
  EXPECT_TRUE(SameKv(decoded.kv, block.kv));
}

constexpr KvFormat kFormats[] = {KvFormat::kF32,  KvFormat::kF16,  KvFormat::kBF16,
                                 KvFormat::kInt8, KvFormat::kInt4, KvFormat::kInt2};

TEST(BlockCodecTest, WhatIsReadIsWhatTheFormatLeaves) {
  for (const KvFormat format : kFormats) {
    for (int n_tokens = 1; n_tokens <= 70; ++n_tokens) {
      Block block = TestBlock({.n_tokens = n_tokens, .format = format});
      block.drift = {.kl = 0.25f, .logit_change = 2};
      ASSERT_OK_AND_ASSIGN(const Block decoded,
                           DecodeBlock(Encoded(block), block.identity, TestCodec()));
      ASSERT_EQ(decoded.format, format);
      EXPECT_EQ(decoded.drift, block.drift);
      EXPECT_EQ(decoded.as_computed, format == KvFormat::kF32);
      ASSERT_TRUE(SameKv(decoded.kv, TestCodec().Round(format, block.kv)))
          << kernels::Name(format) << ", " << n_tokens << " tokens";
    }
  }
}

// One that lost too much in the wanted format.
TEST(BlockCodecTest, ABlockMayBeInABetterFormatThanWanted) {
  Block block = TestBlock({.n_tokens = 9, .format = KvFormat::kInt4});
  block.format = KvFormat::kF16;
  ASSERT_OK_AND_ASSIGN(const Block decoded,
                       DecodeBlock(Encoded(block), block.identity, TestCodec()));
  EXPECT_EQ(decoded.format, KvFormat::kF16);
  EXPECT_EQ(decoded.identity.format, KvFormat::kInt4);
}

TEST(BlockCodecDeathTest, WhatWasDecodedIsNotEncodedAgain) {
  const Block block = TestBlock({.format = KvFormat::kInt8});
  ASSERT_OK_AND_ASSIGN(const Block decoded,
                       DecodeBlock(Encoded(block), block.identity, TestCodec()));
  EXPECT_DEATH(Encoded(decoded), "as_computed");
}

TEST(BlockCodecTest, DoesNotDependOnTheBuffersCapacity) {
  Block block = TestBlock({});
  const std::string bytes = Encoded(block);
  block.kv.Reserve(100);
  EXPECT_EQ(Encoded(block), bytes);
}

TEST(BlockCodecTest, AnyFlippedBitIsFound) {
  for (const KvFormat format : kFormats) {
    const Block block = TestBlock({.n_tokens = 2, .format = format});
    const std::string good = Encoded(block);
    for (size_t at = 0; at < good.size(); ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string bad = good;
        bad[at] ^= static_cast<char>(1 << bit);
        ASSERT_THAT(VerifyBlock(bad, block.identity, kTestShape), StatusIs(kDataLoss))
            << "byte " << at << " bit " << bit;
      }
    }
  }
}

TEST(BlockCodecTest, AnyOtherLengthIsFound) {
  for (const KvFormat format : kFormats) {
    const Block block = TestBlock({.n_tokens = 2, .format = format});
    const std::string good = Encoded(block);
    for (size_t length = 0; length < good.size(); ++length) {
      ASSERT_THAT(DecodeBlock(good.substr(0, length), block.identity, TestCodec()),
                  StatusIs(kDataLoss))
          << length;
    }
    EXPECT_THAT(VerifyBlock(good + "x", block.identity, kTestShape), StatusIs(kDataLoss));
  }
}

TEST(BlockCodecTest, ABlockIsServedOnlyAsWhatItIs) {
  const Block block = TestBlock({});
  const std::string bytes = Encoded(block);
  ASSERT_OK(VerifyBlock(bytes, block.identity, kTestShape));
  const std::function<void(BlockIdentity*)> changes[] = {
      [](BlockIdentity* i) { i->tenant_id = "other"; },
      [](BlockIdentity* i) { i->memory_id = "other"; },
      [](BlockIdentity* i) { i->content_hash[0] ^= 1; },
      [](BlockIdentity* i) { i->model_fingerprint = "other"; },
      [](BlockIdentity* i) { i->chain_hash[0] ^= 1; },
      [](BlockIdentity* i) { i->format = KvFormat::kInt8; },
  };
  for (const auto& change : changes) {
    BlockIdentity expected = block.identity;
    change(&expected);
    EXPECT_THAT(VerifyBlock(bytes, expected, kTestShape),
                StatusIs(kDataLoss, HasSubstr("another")));
    EXPECT_NE(BlockKey(expected), BlockKey(block.identity));
  }
  for (const model::KvShape shape : {model::KvShape{1, 2, 4}, {2, 4, 2}, {2, 2, 8}, {2, 1, 4}}) {
    EXPECT_THAT(VerifyBlock(bytes, block.identity, shape), StatusIs(kDataLoss, HasSubstr("shape")));
  }
}

TEST(BlockCodecTest, TokensAreHeldToTheContentHash) {
  Block block = TestBlock({});
  ++block.tokens[0];
  EXPECT_THAT(VerifyBlock(Encoded(block), block.identity, kTestShape),
              StatusIs(kDataLoss, HasSubstr("content hash")));
}

TEST(BlockKeyTest, FieldsDoNotRunIntoEachOther) {
  EXPECT_NE(BlockKey({"ab", "c", "", "", ""}), BlockKey({"a", "bc", "", "", ""}));
  EXPECT_NE(BlockKey({"a", "", "", "", ""}), BlockKey({"", "a", "", "", ""}));
  EXPECT_EQ(BlockKey({"a", "b", "c", "d", "e"}).size(), 64u);
}

}  // namespace
}  // namespace dki::kvcache
