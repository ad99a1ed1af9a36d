// SPDX-License-Identifier: Apache-2.0
// P1, P2 and P11 on the default model.
#include "libs/model/model_promises.h"

#include "libs/model/test_models.h"

namespace dki::model {
namespace {

TEST(DefaultModelTest, HoldsItsPromises) {
  const std::string path = DefaultModelPath();
  DKI_SKIP_WITHOUT(path);
  ASSERT_OK_AND_ASSIGN(const std::unique_ptr<Model> model, Model::Load(path, {}));
  ExpectChunkingChangesNothing(*model, 130);
  ExpectSharingChangesNothing(*model, 70, 20);
  for (auto [prefix, memory, turn] : {std::tuple{30, 90, 20}, {64, 16, 1}}) {
    MemoryCase c(*model, prefix, memory, turn);
    ExpectAlphaZeroIsVanilla(*model, c);
    ExpectAlphaOneIsThePrompt(*model, c, 1e-4);
  }
}

}  // namespace
}  // namespace dki::model
