// SPDX-License-Identifier: Apache-2.0
// P1, P2 and P11 on the default model.
#include "libs/model/model_promises.h"

#include <string>

#include "libs/model/test_models.h"

namespace dki::model {
namespace {

struct Activations {
  std::string name;
  double p2_tolerance;  // of the largest logit
};

class DefaultModelTest : public ::testing::TestWithParam<Activations> {};

TEST_P(DefaultModelTest, HoldsItsPromises) {
  const std::string path = DefaultModelPath();
  DKI_SKIP_WITHOUT(path);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Model> model,
                       Model::Load(path, {.activations = GetParam().name}));
  ExpectChunkingChangesNothing(*model, 130);
  ExpectLayersInPartsChangeNothing(*model, 80);
  ExpectSharingChangesNothing(*model, 70, 20);
  for (auto [prefix, memory, turn] : {std::tuple{30, 90, 20}, {64, 16, 1}}) {
    MemoryCase c(*model, prefix, memory, turn);
    ExpectAlphaZeroIsVanilla(*model, c);
    ExpectAlphaOneIsThePrompt(*model, c, GetParam().p2_tolerance);
  }
}

// P2 compares K/V in frames that round differently. Rounding activations to 16 bits amplifies that:
// a value close to the middle of two steps may fall to either.
INSTANTIATE_TEST_SUITE_P(All, DefaultModelTest,
                         ::testing::Values(Activations{"float", 1e-4}, Activations{"auto", 3e-4}),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace dki::model
