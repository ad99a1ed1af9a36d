// SPDX-License-Identifier: Apache-2.0
#include "libs/injection/attention_rule.h"

#include <gtest/gtest.h>

#include "libs/testing/status_matchers.h"

namespace dki::injection {
namespace {

TEST(AttentionRuleTest, NamesAreReadAndWritten) {
  for (const char* law : {"", "blend", "as_original"}) {
    for (const char* layers : {"", "0-0", "7-22"}) {
      ASSERT_OK_AND_ASSIGN(const model::AttentionRule rule, ParseAttentionRule(law, layers));
      EXPECT_EQ(LawName(rule), law);
      EXPECT_EQ(LayersName(rule), layers);
    }
  }
  EXPECT_EQ(*ParseAttentionRule("bias", ""), model::AttentionRule());
}

TEST(AttentionRuleTest, AnythingElseIsRefused) {
  for (const char* law : {"Bias", "values", "x"}) {
    EXPECT_EQ(ParseAttentionRule(law, "").status().code(), absl::StatusCode::kInvalidArgument);
  }
  for (const char* layers : {"7", "-", "7-", "-7", "8-7", "-1-2", "1-2-3", "a-b", "0-99999999"}) {
    EXPECT_EQ(ParseAttentionRule("", layers).status().code(), absl::StatusCode::kInvalidArgument)
        << layers;
  }
}

}  // namespace
}  // namespace dki::injection
