// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/composition.h"

#include <gtest/gtest.h>

#include "libs/testing/status_matchers.h"

namespace dki::injection {
namespace {

TEST(CompositionTest, NamesAreReadAndWritten) {
  for (const char* name :
       {"pack", "independent", "auto", "repair(1)", "repair(1024)", "blend(0.15)", "blend(1)"}) {
    ASSERT_OK_AND_ASSIGN(const Composition composition, ParseComposition(name));
    EXPECT_EQ(ToString(composition), name);
  }
  EXPECT_EQ(ToString(Composition()), "pack");
}

TEST(CompositionTest, AnythingElseIsRefused) {
  for (const char* name : {"", "Pack", "repair", "repair()", "repair(0)", "repair(1025)",
                           "repair(-1)", "repair(1", "repair(1x)", "repair(99999999999)", "blend()",
                           "blend(0)", "blend(1.01)", "blend(-0.1)", "blend(nan)", "blend(0.1x)"}) {
    EXPECT_EQ(ParseComposition(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

TEST(CompositionTest, ServicesRefuseWhatOnlyAnEvaluationHas) {
  for (const char* name : {"pack", "independent", "auto", "repair(4)"}) {
    EXPECT_OK(ParseServedComposition(name).status());
  }
  const absl::Status refused = ParseServedComposition("blend(0.15)").status();
  EXPECT_EQ(refused.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_NE(refused.message().find("dki eval run --local"), absl::string_view::npos) << refused;
  EXPECT_FALSE(ParseServedComposition("blend").ok());
}

}  // namespace
}  // namespace dki::injection
