// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/block_maker.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "libs/injection/compute_pack_fixture.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::injection {
namespace {

using kernels::KvFormat;

class BlockMakerTest : public ComputePackTest {
 protected:
  void SetUp() override { Load(testing::WriteTinyModel(folder_.path())); }

  std::vector<MadeBlock> MakePack(KvFormat format, DriftOptions options) {
    KeepIn(format);
    BlockMaker maker(model_.get(), *format_, options);
    absl::StatusOr<std::vector<MadeBlock>> made = maker.MakePack(plan_);
    EXPECT_OK(made);
    return *std::move(made);
  }
  // Block by block, with what was kept of those in front read back from its bytes.
  std::vector<std::string> MakeOneByOne(KvFormat format, DriftOptions options) {
    KeepIn(format);
    BlockMaker maker(model_.get(), *format_, options);
    const model::KvBuffer context = *ComputeContext(model_.get(), plan_.context_tokens);
    std::vector<std::string> bytes;
    std::vector<kvcache::Block> read;
    read.reserve(plan_.blocks.size());
    std::vector<const model::KvBuffer*> at_hand(plan_.blocks.size(), nullptr);
    for (int i = 0; i < static_cast<int>(plan_.blocks.size()); ++i) {
      auto made = maker.Make(plan_, context, at_hand, {{i}});
      EXPECT_OK(made);
      EXPECT_EQ(made->size(), 1u);
      bytes.push_back(kvcache::EncodeBlock(made->front().block, maker.codec()));
      read.push_back(*kvcache::DecodeBlock(bytes.back(), plan_.blocks[i].identity, maker.codec()));
      at_hand[i] = &read.back().kv;
    }
    return bytes;
  }
  std::vector<std::string> Encode(const std::vector<MadeBlock>& made) {
    std::vector<std::string> bytes;
    for (const MadeBlock& one : made) bytes.push_back(kvcache::EncodeBlock(one.block, *codec_));
    return bytes;
  }
  // Between the smallest and the largest drift of the pack's blocks, so that some are refused.
  static double MiddleDrift(const std::vector<MadeBlock>& made) {
    std::vector<double> drifts;
    for (const MadeBlock& one : made) drifts.push_back(one.block.drift.kl);
    std::sort(drifts.begin(), drifts.end());
    EXPECT_LT(drifts.front(), drifts.back());
    return (drifts.front() + drifts.back()) / 2;
  }

  const testing::TempDir folder_;
};

TEST_F(BlockMakerTest, ExactBlocksAreNotMeasured) {
  for (const MadeBlock& one : MakePack(KvFormat::kF32, {.budget = 0})) {
    EXPECT_FALSE(one.block.drift.measured());
    EXPECT_TRUE(kvcache::SameKv(one.kept, one.block.kv));
  }
}

TEST_F(BlockMakerTest, FewerBitsDriftMore) {
  std::vector<double> sums;
  for (const KvFormat format : {KvFormat::kInt8, KvFormat::kInt4, KvFormat::kInt2}) {
    double sum = 0;
    for (const MadeBlock& one : MakePack(format, {.budget = 1e9, .int8_one_in = 1})) {
      ASSERT_TRUE(one.block.drift.measured());
      EXPECT_EQ(one.block.format, format);
      EXPECT_GT(one.block.drift.logit_change, 0);
      sum += one.block.drift.kl;
    }
    sums.push_back(sum);
  }
  EXPECT_LT(sums[0], 0.1 * sums[1]);
  EXPECT_LT(sums[1], 0.5 * sums[2]);
}

TEST_F(BlockMakerTest, WhatLosesTooMuchIsKeptInABetterFormat) {
  const double budget = MiddleDrift(MakePack(KvFormat::kInt2, {.budget = 1e9}));
  const auto made = MakePack(KvFormat::kInt2, {.budget = budget});
  int n_refused = 0;
  for (size_t i = 0; i < made.size(); ++i) {
    const kvcache::Block& block = made[i].block;
    EXPECT_EQ(block.identity, plan_.blocks[i].identity);
    if (made[i].refused.empty()) {
      EXPECT_EQ(block.format, KvFormat::kInt2);
    } else {
      ++n_refused;
      EXPECT_NE(block.format, KvFormat::kInt2);
      EXPECT_EQ(made[i].refused.front().first, KvFormat::kInt2);
      EXPECT_GT(made[i].refused.front().second.kl, budget);
    }
    EXPECT_LE(block.drift.kl, budget);
    EXPECT_TRUE(kvcache::SameKv(made[i].kept, codec_->Round(block.format, block.kv)));
  }
  EXPECT_GE(n_refused, 1);
  EXPECT_LT(n_refused, static_cast<int>(made.size()));
}

TEST_F(BlockMakerTest, ABudgetOfNothingLeavesFloats) {
  for (const MadeBlock& one : MakePack(KvFormat::kInt4, {.budget = 0})) {
    EXPECT_EQ(one.block.format, KvFormat::kF16);
    EXPECT_EQ(one.refused.size(), 2u);  // int4, int8
    EXPECT_FALSE(one.block.drift.measured());
  }
}

// The decision, too, does not depend on how the pack is computed.
TEST_F(BlockMakerTest, OneByOneGivesTheSameBytes) {
  const double middle = MiddleDrift(MakePack(KvFormat::kInt4, {.budget = 1e9}));
  for (const DriftOptions options :
       {DriftOptions{.budget = 1e9}, DriftOptions{.budget = middle}, DriftOptions{.budget = 0}}) {
    EXPECT_EQ(MakeOneByOne(KvFormat::kInt4, options), Encode(MakePack(KvFormat::kInt4, options)));
  }
  const DriftOptions every_second{.budget = 0, .int8_one_in = 2};
  EXPECT_EQ(MakeOneByOne(KvFormat::kInt8, every_second),
            Encode(MakePack(KvFormat::kInt8, every_second)));
}

TEST_F(BlockMakerTest, OfInt8OneInSoManyIsMeasured) {
  int n_measured = 0, n = 0;
  for (int pack = 0; pack < 40; ++pack) {
    plan_ = PlanPack(*format_, absl::StrFormat("tenant %d", pack), "model", "You are brief.",
                     {{"m1", "Ana's job is baker."}}, KvFormat::kInt8);
    BlockMaker maker(model_.get(), *format_, {.int8_one_in = 4});
    ASSERT_OK_AND_ASSIGN(const auto made, maker.MakePack(plan_));
    for (const MadeBlock& one : made) n_measured += one.block.drift.measured() ? 1 : 0;
    n += static_cast<int>(made.size());
  }
  EXPECT_GT(n_measured, n / 8);
  EXPECT_LT(n_measured, n / 2);
}

}  // namespace
}  // namespace dki::injection
