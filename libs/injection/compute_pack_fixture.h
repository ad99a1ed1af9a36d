// SPDX-License-Identifier: Apache-2.0
// A pack of three memories and a model file to compute it with.
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <vector>

#include "libs/injection/compute_pack.h"
#include "libs/kvcache/test_blocks.h"
#include "libs/model/tokenizer.h"
#include "libs/testing/status_matchers.h"

namespace dki::injection {

class ComputePackTest : public ::testing::Test {
 protected:
  void Load(const std::string& path) {
    ASSERT_OK_AND_ASSIGN(model_, model::Model::Load(path, {}));
    ASSERT_OK_AND_ASSIGN(tokenizer_, model::Tokenizer::Load(path));
    ASSERT_OK_AND_ASSIGN(format_, model::ChatFormat::Create(path, tokenizer_.get()));
    plan_ = PlanPack(*format_, "tenant", model_->config().kv_fingerprint, "You are brief.",
                     {{"m1", "Ana's job is baker."},
                      {"m2", "The library opens at nine."},
                      {"m3", "Ana moved to Porto in spring."}},
                     kernels::KvFormat::kF32);
    codec_ = std::make_unique<model::PlaneCodec>(model_->config());
  }
  void KeepIn(kernels::KvFormat format) {
    plan_.format = format;
    for (PlannedBlock& block : plan_.blocks) block.identity.format = format;
  }

  // Each block alone, with what is kept of all others at hand.
  void ExpectEachAloneEquals(const std::vector<ComputedBlock>& all) {
    ASSERT_OK_AND_ASSIGN(const model::KvBuffer context,
                         ComputeContext(model_.get(), plan_.context_tokens));
    std::vector<const model::KvBuffer*> at_hand;
    for (const ComputedBlock& block : all) {
      EXPECT_TRUE(kvcache::SameKv(block.kept, codec_->Round(plan_.format, block.block.kv)));
      at_hand.push_back(&block.kept);
    }
    for (int i = 0; i < static_cast<int>(all.size()); ++i) {
      std::vector<const model::KvBuffer*> but_one = at_hand;
      but_one[i] = nullptr;
      ASSERT_OK_AND_ASSIGN(const auto alone,
                           ComputeBlocks(model_.get(), *codec_, plan_, context, but_one, {{i}}));
      ASSERT_EQ(alone.size(), 1u);
      EXPECT_EQ(alone[0].block.identity, plan_.blocks[i].identity);
      EXPECT_TRUE(kvcache::SameKv(alone[0].block.kv, all[i].block.kv)) << "block " << i;
    }
  }

  void ExpectThatBlocksDoNotDependOnHowTheyAreComputed() {
    for (const auto format : {kernels::KvFormat::kF32, kernels::KvFormat::kF16,
                              kernels::KvFormat::kInt8, kernels::KvFormat::kInt4}) {
      KeepIn(format);
      ASSERT_OK_AND_ASSIGN(const auto all, ComputePack(model_.get(), *codec_, plan_));
      ASSERT_EQ(all.size(), plan_.blocks.size());
      ExpectEachAloneEquals(all);
    }
  }

  std::unique_ptr<model::Model> model_;
  std::unique_ptr<model::Tokenizer> tokenizer_;
  std::unique_ptr<model::ChatFormat> format_;
  std::unique_ptr<model::PlaneCodec> codec_;
  PackPlan plan_;
};

}  // namespace dki::injection
