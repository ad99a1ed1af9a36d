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
                      {"m3", "Ana moved to Porto in spring."}});
  }

  // Each block alone, with all others at hand.
  void ExpectEachAloneEquals(const std::vector<kvcache::Block>& all) {
    ASSERT_OK_AND_ASSIGN(const model::KvBuffer context,
                         ComputeContext(model_.get(), plan_.context_tokens));
    std::vector<const model::KvBuffer*> at_hand;
    for (const kvcache::Block& block : all) at_hand.push_back(&block.kv);
    for (int i = 0; i < static_cast<int>(all.size()); ++i) {
      std::vector<const model::KvBuffer*> but_one = at_hand;
      but_one[i] = nullptr;
      ASSERT_OK_AND_ASSIGN(const auto alone,
                           ComputeBlocks(model_.get(), plan_, context, but_one, {{i}}));
      ASSERT_EQ(alone.size(), 1u);
      EXPECT_EQ(alone[0].identity, plan_.blocks[i].identity);
      EXPECT_TRUE(kvcache::SameKv(alone[0].kv, all[i].kv)) << "block " << i;
    }
  }

  void ExpectThatBlocksDoNotDependOnHowTheyAreComputed() {
    ASSERT_OK_AND_ASSIGN(const auto all, ComputePack(model_.get(), plan_));
    ASSERT_EQ(all.size(), plan_.blocks.size());
    ExpectEachAloneEquals(all);
  }

  std::unique_ptr<model::Model> model_;
  std::unique_ptr<model::Tokenizer> tokenizer_;
  std::unique_ptr<model::ChatFormat> format_;
  PackPlan plan_;
};

}  // namespace dki::injection
