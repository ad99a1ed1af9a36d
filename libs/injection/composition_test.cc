// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/composition.h"

#include <gtest/gtest.h>

#include "libs/testing/status_matchers.h"

namespace dki::injection {
namespace {

TEST(CompositionTest, NamesAreReadAndWritten) {
  for (const char* name : {"pack", "independent", "auto", "repair(1)", "repair(1024)"}) {
    ASSERT_OK_AND_ASSIGN(const Composition composition, ParseComposition(name));
    EXPECT_EQ(ToString(composition), name);
  }
  EXPECT_EQ(ToString(Composition()), "pack");
}

TEST(CompositionTest, AnythingElseIsRefused) {
  for (const char* name : {"", "Pack", "repair", "repair()", "repair(0)", "repair(1025)",
                           "repair(-1)", "repair(1", "repair(1x)", "repair(99999999999)"}) {
    EXPECT_EQ(ParseComposition(name).status().code(), absl::StatusCode::kInvalidArgument) << name;
  }
}

}  // namespace
}  // namespace dki::injection
