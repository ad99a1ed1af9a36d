// SPDX-License-Identifier: Apache-2.0
// Gemma 3 270M against another implementation (tools/fixtures/make_gemma_logits.py).
#include "libs/model/golden_logits.h"
#include "libs/model/test_models.h"

namespace dki::model {
namespace {

TEST(GemmaTest, EqualsTheIndependentImplementation) {
  DKI_SKIP_WITHOUT(GemmaModelPath());
  for (const auto& [activations, tolerance] : {std::pair{"float", 1e-5}, std::pair{"auto", 5e-3}}) {
    ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Model> model,
                         Model::Load(GemmaModelPath(), {.activations = activations}));
    EXPECT_EQ(model->config().window, 512);
    ExpectGolden(*model, "libs/model/testdata/gemma_logits.bin", tolerance);
  }
}

TEST(GemmaTest, HoldsThePromisesAcrossTheWindow) {
  DKI_SKIP_WITHOUT(GemmaModelPath());
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Model> model,
                       Model::Load(GemmaModelPath(), {.activations = "float"}));
  ExpectChunkingChangesNothing(*model, 70);
  MemoryCase c(*model, 500, 40, 12);
  ExpectAlphaZeroIsVanilla(*model, c);
  ExpectAlphaOneIsThePrompt(*model, c, 1e-4);
}

}  // namespace
}  // namespace dki::model
