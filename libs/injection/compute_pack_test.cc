// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/compute_pack.h"

#include <algorithm>
#include <cmath>

#include "libs/injection/compute_pack_fixture.h"
#include "libs/testing/temp_dir.h"
#include "libs/testing/tiny_model.h"

namespace dki::injection {
namespace {

TEST_F(ComputePackTest, BlocksDoNotDependOnHowTheyAreComputed) {
  const testing::TempDir folder;
  Load(testing::WriteTinyModel(folder.path()));
  ExpectThatBlocksDoNotDependOnHowTheyAreComputed();
}

// P2: behind its context, a pack is the prompt with the same tokens: to rounding, since a block's
// keys are rotated in its own frame.
TEST_F(ComputePackTest, ValuesOfThePackAreThoseOfThePrompt) {
  const testing::TempDir folder;
  Load(testing::WriteTinyModel(folder.path()));
  ASSERT_OK_AND_ASSIGN(const auto blocks, ComputePack(model_.get(), *codec_, plan_));
  std::vector<int32_t> prompt = plan_.context_tokens;
  for (const PlannedBlock& block : plan_.blocks) {
    prompt.insert(prompt.end(), block.tokens.begin(), block.tokens.end());
  }
  ASSERT_OK_AND_ASSIGN(const model::KvBuffer whole, ComputeContext(model_.get(), prompt));
  const int last = model_->kv_shape().n_layers - 1;
  const int row = model_->kv_shape().row_size();
  for (size_t i = 0; i < blocks.size(); ++i) {
    const int first = static_cast<int>(plan_.context_tokens.size()) + plan_.blocks[i].start;
    float largest = 0, difference = 0;
    for (int j = 0; j < blocks[i].block.kv.size() * row; ++j) {
      const int token = j / row;
      const float expected = whole.values(last, first + token)[j % row];
      largest = std::max(largest, std::abs(expected));
      difference = std::max(difference,
                            std::abs(blocks[i].block.kv.values(last, token)[j % row] - expected));
    }
    EXPECT_LE(difference, 1e-4f * largest) << "block " << i;
    EXPECT_GT(largest, 0.0f);
  }
}

}  // namespace
}  // namespace dki::injection
