// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/encrypted_kv_tier.h"

#include <gmock/gmock.h>

#include <map>

#include "libs/kvcache/test_blocks.h"
#include "libs/kvcache/test_data_keys.h"
#include "libs/testing/status_matchers.h"

namespace dki::kvcache {
namespace {

using absl::StatusCode;
using testing::StatusIs;

StoredBlock Stored(const TestBlockSpec& spec, const std::string& user_id = "") {
  const Block block = TestBlock(spec);
  StoredBlock stored{block.identity, block.chain_memory_ids, Encoded(block), 0.25};
  stored.attributes.user_id = user_id;
  return stored;
}

// A medium that lets the test see and change what lies there.
class OpenMedium : public KvTier {
 public:
  std::optional<TierHit> Get(const BlockIdentity& identity) override {
    ++n_reads;
    const auto found = blocks.find(BlockKey(identity));
    if (found == blocks.end()) return std::nullopt;
    return TierHit{found->second, TierName::kDisk};
  }
  void Put(const StoredBlock& block) override { blocks[BlockKey(block.identity)] = block; }
  absl::Status Erase(const std::string&, const std::string&) override {
    blocks.clear();
    return absl::OkStatus();
  }
  TierStats Stats() const override { return {}; }

  std::map<std::string, StoredBlock> blocks;
  int n_reads = 0;
};

class EncryptedKvTierTest : public ::testing::Test {
 protected:
  // A copy of what lies in the medium, which is there in its place and can be changed.
  std::string& Bytes(const StoredBlock& block) {
    StoredBlock& there = medium_.blocks.at(BlockKey(block.identity));
    bytes_ = std::make_shared<std::string>(*there.bytes);
    there.bytes = bytes_;
    return *bytes_;
  }

  std::shared_ptr<std::string> bytes_;

  OpenMedium medium_;
  TestDataKeys keys_;
  EncryptedKvTier tier_{&medium_, &keys_,
                        [](std::string_view bytes, const BlockIdentity& identity) {
                          return VerifyBlock(bytes, identity, kTestShape);
                        }};
};

TEST_F(EncryptedKvTierTest, GivesBackWhatWasPutAndWhoseItIs) {
  const StoredBlock block = Stored({.memory_id = "m2", .chain = {"m1", "m2"}}, "ann");
  tier_.Put(block);
  const auto hit = tier_.Get(block.identity);
  ASSERT_TRUE(hit);
  EXPECT_EQ(*hit->block.bytes, *block.bytes);
  EXPECT_EQ(hit->block.attributes.user_id, "ann");
  EXPECT_EQ(hit->block.chain_memory_ids, block.chain_memory_ids);
  EXPECT_EQ(tier_.Stats().hits, 1);
}

TEST_F(EncryptedKvTierTest, TheMediumSeesNothingOfTheBlock) {
  const StoredBlock block = Stored({.n_tokens = 8}, "ann-the-user");
  tier_.Put(block);
  const std::string sealed = Bytes(block);
  for (size_t at = 0; at + 16 <= block.bytes->size(); at += 16) {
    EXPECT_EQ(sealed.find(block.bytes->substr(at, 16)), std::string::npos) << at;
  }
  EXPECT_EQ(sealed.find("ann-the-user"), std::string::npos);
  tier_.Put(block);
  EXPECT_NE(Bytes(block), sealed) << "another nonce";
}

TEST_F(EncryptedKvTierTest, AnyChangedBitIsFoundWithAndWithoutTheKey) {
  const StoredBlock block = Stored({}, "ann");
  tier_.Put(block);
  const std::string sound = Bytes(block);
  int64_t n_damaged = 0;
  for (size_t bit = 0; bit < sound.size() * 8; bit += 7) {
    Bytes(block)[bit / 8] ^= static_cast<char>(1 << (bit % 8));
    EXPECT_THAT(VerifySealed(Bytes(block), block.identity), StatusIs(StatusCode::kDataLoss));
    EXPECT_FALSE(tier_.Get(block.identity)) << bit;
    ++n_damaged;
    Bytes(block) = sound;
  }
  EXPECT_EQ(tier_.Stats().corrupt, n_damaged);
  EXPECT_TRUE(tier_.Get(block.identity));
}

TEST_F(EncryptedKvTierTest, TheChainIsAuthenticated) {
  const StoredBlock block = Stored({}, "ann");
  tier_.Put(block);
  // A block that names other memories would escape their erasure.
  medium_.blocks.begin()->second.chain_memory_ids = {"m7"};
  EXPECT_FALSE(tier_.Get(block.identity));
  EXPECT_EQ(tier_.Stats().corrupt, 1);
}

TEST_F(EncryptedKvTierTest, ABlockInAnothersPlaceIsFound) {
  const StoredBlock block = Stored({}), other = Stored({.variant = 1});
  tier_.Put(block);
  tier_.Put(other);
  Bytes(block) = Bytes(other);
  EXPECT_FALSE(tier_.Get(block.identity));
  EXPECT_EQ(tier_.Stats().corrupt, 1);
}

TEST_F(EncryptedKvTierTest, DestroyingAUsersKeyMakesNoiseOfTheirBlocksAlone) {
  const StoredBlock ann = Stored({.variant = 1}, "ann"), bob = Stored({.variant = 2}, "bob"),
                    shared = Stored({.variant = 3});
  for (const StoredBlock& block : {ann, bob, shared}) tier_.Put(block);
  keys_.Destroy("tenant", "ann");
  EXPECT_FALSE(tier_.Get(ann.identity));
  EXPECT_TRUE(tier_.Get(bob.identity));
  EXPECT_TRUE(tier_.Get(shared.identity));
  EXPECT_EQ(tier_.Stats().corrupt, 0) << "it is no damage";
  // A user of that name who comes later has another key.
  tier_.Put(Stored({.variant = 4}, "ann"));
  EXPECT_FALSE(tier_.Get(ann.identity));
  EXPECT_TRUE(tier_.Get(Stored({.variant = 4}).identity));
}

TEST_F(EncryptedKvTierTest, WithoutKeysNothingIsReadAndNothingKept) {
  const StoredBlock block = Stored({});
  tier_.Put(block);
  keys_.SetUp(false);
  const int n_reads = medium_.n_reads;
  EXPECT_FALSE(tier_.Get(block.identity));
  EXPECT_EQ(medium_.n_reads, n_reads);
  tier_.Put(Stored({.variant = 1}));
  EXPECT_EQ(medium_.blocks.size(), 1u);
  EXPECT_EQ(tier_.Stats().failures, 2);
  EXPECT_EQ(tier_.Stats().misses, 1);
  keys_.SetUp(true);
  EXPECT_TRUE(tier_.Get(block.identity));
}

}  // namespace
}  // namespace dki::kvcache
