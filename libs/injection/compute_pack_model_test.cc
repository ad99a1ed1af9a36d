// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/compute_pack_fixture.h"
#include "libs/model/test_models.h"

namespace dki::injection {
namespace {

TEST_F(ComputePackTest, BlocksOfTheDefaultModelDoNotDependOnHowTheyAreComputed) {
  DKI_SKIP_WITHOUT(model::DefaultModelPath());
  Load(model::DefaultModelPath());
  ExpectThatBlocksDoNotDependOnHowTheyAreComputed();
}

}  // namespace
}  // namespace dki::injection
