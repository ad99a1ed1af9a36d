// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/cost_model.h"

#include <gmock/gmock.h>

#include <functional>
#include <random>

namespace dki::kvcache {
namespace {

constexpr int64_t kMiB = int64_t{1} << 20;

// A machine whose times are what the test says they are.
class CostModelTest : public ::testing::Test {
 protected:
  CostModelTest() : model_({.clock = &clock_}) {}

  static CostedBlock OnDisk(int n_tokens, int n_before = 0) {
    return {TierName::kDisk, n_tokens * 10000, n_tokens, n_before};
  }
  static CostedBlock Missing(int n_tokens, int n_before = 0) {
    return {std::nullopt, 0, n_tokens, n_before};
  }
  absl::Duration ComputeTime(std::span<const CostedBlock> blocks) const {
    absl::Duration time = pass_;
    for (const CostedBlock& block : blocks) {
      time += block.n_tokens * (token_ + pair_ * (block.n_before + block.n_tokens / 2));
    }
    return time;
  }
  absl::Duration LoadTime(const CostedBlock& block) const { return latency_ + byte_ * block.bytes; }
  void Compute(std::vector<CostedBlock> blocks) {
    model_.ObserveCompute(blocks, ComputeTime(blocks));
  }
  void Load(const CostedBlock& block) {
    model_.ObserveLoad(*block.tier, block.bytes, LoadTime(block));
  }
  void Learn() {
    for (int i = 0; i < 40; ++i) {
      Load(OnDisk(16 << (i % 6)));
      Compute({Missing(16 << (i % 5), 100 * (i % 7))});
    }
  }
  // As a loader would do it; returns what was chosen for the block.
  LoadPath Do(const CostedBlock& block) {
    const PathChoice choice = model_.Choose({{block}})[0];
    if (choice.path == LoadPath::kLoad) {
      Load(block);
    } else {
      Compute({block});
    }
    return choice.path;
  }

  FakeClock clock_;
  absl::Duration latency_ = absl::Milliseconds(1), byte_ = absl::Nanoseconds(1);
  absl::Duration pass_ = absl::Milliseconds(5), token_ = absl::Microseconds(400),
                 pair_ = absl::Nanoseconds(100);
  CostModel model_;
};

TEST_F(CostModelTest, LargePassesDoNotDrownWhatSmallOnesTell) {
  for (int run = 0; run < 6; ++run) {
    for (int n_tokens = 16; n_tokens <= 4096; n_tokens *= 2) {
      const CostedBlock block = Missing(n_tokens, 300);
      // Long passes vary by a tenth, as on a machine with neighbours.
      const double noise = n_tokens < 1024 ? 1.0 : run % 2 == 0 ? 1.1 : 0.9;
      model_.ObserveCompute({{block}}, noise * ComputeTime({{block}}));
    }
  }
  for (int n_tokens = 16; n_tokens <= 4096; n_tokens *= 2) {
    const CostedBlock block = Missing(n_tokens, 300);
    EXPECT_NEAR(absl::FDivDuration(*model_.EstimateCompute({{block}}), ComputeTime({{block}})), 1,
                0.1)
        << n_tokens;
  }
}

TEST_F(CostModelTest, KnowsNothingAtFirstAndLoads) {
  const auto choices = model_.Choose({{OnDisk(100), Missing(100)}});
  EXPECT_EQ(choices[0].path, LoadPath::kLoad);
  EXPECT_LT(choices[0].load_estimate, absl::ZeroDuration());
  EXPECT_EQ(choices[1].path, LoadPath::kRecompute);
  EXPECT_FALSE(model_.EstimateLoad(TierName::kDisk, kMiB));
  EXPECT_FALSE(model_.EstimateCompute({{Missing(1)}}));
}

TEST_F(CostModelTest, LearnsLatencyBandwidthAndPrefillRate) {
  Learn();
  for (const int n_tokens : {16, 100, 2000}) {
    const auto load = model_.EstimateLoad(TierName::kDisk, OnDisk(n_tokens).bytes);
    EXPECT_NEAR(absl::FDivDuration(*load, LoadTime(OnDisk(n_tokens))), 1, 0.01) << n_tokens;
    const std::vector<CostedBlock> pass = {Missing(n_tokens, 50), Missing(n_tokens, 500)};
    EXPECT_NEAR(absl::FDivDuration(*model_.EstimateCompute(pass), ComputeTime(pass)), 1, 0.01)
        << n_tokens;
  }
  EXPECT_FALSE(model_.EstimateLoad(TierName::kRam, kMiB)) << "another tier";
}

TEST_F(CostModelTest, OneSizeAloneIsEnoughForThatSize) {
  for (int i = 0; i < 5; ++i) Load(OnDisk(64));
  EXPECT_NEAR(absl::FDivDuration(*model_.EstimateLoad(TierName::kDisk, OnDisk(64).bytes),
                                 LoadTime(OnDisk(64))),
              1, 0.01);
}

TEST_F(CostModelTest, PicksTheCheaperAtEverySize) {
  byte_ = absl::Nanoseconds(50);  // 500 us a token: short blocks are cheaper to load, long ones not
  Learn();
  for (const int n_tokens : {16, 32, 64, 256, 1024}) {
    const CostedBlock block = OnDisk(n_tokens);
    const absl::Duration load = LoadTime(block), compute = ComputeTime({{block}});
    const LoadPath path = model_.Choose({{block}})[0].path;
    EXPECT_LE(path == LoadPath::kLoad ? load : compute, 1.1 * std::min(load, compute)) << n_tokens;
  }
}

TEST_F(CostModelTest, ABlockThatGoesAlongPaysNoPass) {
  pass_ = absl::Milliseconds(50);
  latency_ = absl::Milliseconds(30);
  Learn();
  const CostedBlock small = OnDisk(16);
  EXPECT_EQ(model_.Choose({{small}})[0].path, LoadPath::kLoad) << "30 ms against 56";
  EXPECT_EQ(model_.Choose({{small, Missing(16)}})[0].path, LoadPath::kRecompute) << "against 6";
  // Several together are worth a pass.
  for (const PathChoice& choice : model_.Choose({{small, small, small, small}})) {
    EXPECT_EQ(choice.path, LoadPath::kRecompute);
  }
}

TEST_F(CostModelTest, ASlowDiskIsLeftAndTakenBackWhenItIsFastAgain) {
  Learn();
  const CostedBlock block = OnDisk(100);
  EXPECT_EQ(Do(block), LoadPath::kLoad);
  latency_ = absl::Seconds(1);
  EXPECT_EQ(Do(block), LoadPath::kLoad) << "nobody knows yet";
  EXPECT_EQ(Do(block), LoadPath::kRecompute) << "once is enough";
  // It looks again rarely.
  int loads = 0;
  for (int i = 0; i < 600; ++i) {
    clock_.Advance(absl::Milliseconds(100));
    if (Do(block) == LoadPath::kLoad) ++loads;
  }
  EXPECT_GE(loads, 2);
  EXPECT_LE(loads, 3) << "in a minute";

  latency_ = absl::Milliseconds(1);
  int until_taken_back = 0;
  for (int in_a_row = 0; in_a_row < 100 && until_taken_back < 1000; ++until_taken_back) {
    clock_.Advance(absl::Milliseconds(100));
    in_a_row = Do(block) == LoadPath::kLoad ? in_a_row + 1 : 0;
  }
  EXPECT_LT(until_taken_back, 200 + 100) << "the next look is enough";
  EXPECT_FALSE(model_.Choose({{block}})[0].explores);
}

TEST_F(CostModelTest, NoiseDoesNotFlipAClearChoice) {
  Learn();
  std::mt19937 random(1);
  std::lognormal_distribution<double> noise(0, 0.5);
  for (int i = 0; i < 1000; ++i) {
    const CostedBlock block = OnDisk(256);
    ASSERT_EQ(model_.Choose({{block}})[0].path, LoadPath::kLoad) << i;
    model_.ObserveLoad(TierName::kDisk, block.bytes, LoadTime(block) * noise(random));
  }
}

TEST(DecayedFitTest, WeightsAreNeverNegative) {
  DecayedFit<2> fit;
  for (int i = 0; i < 10; ++i) fit.Add({1, 1.0 + i}, 10.0 - i, 1);  // falls with size
  EXPECT_GE(fit.weights()[0], 0);
  EXPECT_EQ(fit.weights()[1], 0);
  EXPECT_NEAR(fit.At({1, 3}), 5.5, 0.01);
}

}  // namespace
}  // namespace dki::kvcache
