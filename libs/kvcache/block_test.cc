// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/block.h"

#include <gmock/gmock.h>

#include <cstring>
#include <functional>

#include "libs/kvcache/test_blocks.h"
#include "libs/testing/status_matchers.h"

namespace dki::kvcache {
namespace {

using ::testing::HasSubstr;
using testing::StatusIs;
constexpr auto kDataLoss = absl::StatusCode::kDataLoss;

TEST(BlockCodecTest, DecodesWhatWasEncoded) {
  const Block block = TestBlock({.memory_id = "m2", .chain = {"m1", "m2"}, .n_tokens = 5});
  ASSERT_OK_AND_ASSIGN(const Block decoded,
                       DecodeBlock(EncodeBlock(block), block.identity, kTestShape));
  EXPECT_EQ(decoded.identity, block.identity);
  EXPECT_EQ(decoded.chain_memory_ids, block.chain_memory_ids);
  EXPECT_EQ(decoded.tokens, block.tokens);
  EXPECT_TRUE(SameKv(decoded.kv, block.kv));
}

TEST(BlockCodecTest, DoesNotDependOnTheBuffersCapacity) {
  Block block = TestBlock({});
  const std::string bytes = EncodeBlock(block);
  block.kv.Reserve(100);
  EXPECT_EQ(EncodeBlock(block), bytes);
}

TEST(BlockCodecTest, AnyFlippedBitIsFound) {
  const Block block = TestBlock({.n_tokens = 2});
  const std::string good = EncodeBlock(block);
  for (size_t at = 0; at < good.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string bad = good;
      bad[at] ^= static_cast<char>(1 << bit);
      ASSERT_THAT(VerifyBlock(bad, block.identity, kTestShape), StatusIs(kDataLoss))
          << "byte " << at << " bit " << bit;
    }
  }
}

TEST(BlockCodecTest, AnyOtherLengthIsFound) {
  const Block block = TestBlock({.n_tokens = 2});
  const std::string good = EncodeBlock(block);
  for (size_t length = 0; length < good.size(); ++length) {
    ASSERT_THAT(DecodeBlock(good.substr(0, length), block.identity, kTestShape),
                StatusIs(kDataLoss))
        << length;
  }
  EXPECT_THAT(VerifyBlock(good + "x", block.identity, kTestShape), StatusIs(kDataLoss));
}

TEST(BlockCodecTest, ABlockIsServedOnlyAsWhatItIs) {
  const Block block = TestBlock({});
  const std::string bytes = EncodeBlock(block);
  ASSERT_OK(VerifyBlock(bytes, block.identity, kTestShape));
  const std::function<void(BlockIdentity*)> changes[] = {
      [](BlockIdentity* i) { i->tenant_id = "other"; },
      [](BlockIdentity* i) { i->memory_id = "other"; },
      [](BlockIdentity* i) { i->content_hash[0] ^= 1; },
      [](BlockIdentity* i) { i->model_fingerprint = "other"; },
      [](BlockIdentity* i) { i->chain_hash[0] ^= 1; },
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
  EXPECT_THAT(VerifyBlock(EncodeBlock(block), block.identity, kTestShape),
              StatusIs(kDataLoss, HasSubstr("content hash")));
}

TEST(BlockKeyTest, FieldsDoNotRunIntoEachOther) {
  EXPECT_NE(BlockKey({"ab", "c", "", "", ""}), BlockKey({"a", "bc", "", "", ""}));
  EXPECT_NE(BlockKey({"a", "", "", "", ""}), BlockKey({"", "a", "", "", ""}));
  EXPECT_EQ(BlockKey({"a", "b", "c", "d", "e"}).size(), 64u);
}

}  // namespace
}  // namespace dki::kvcache
