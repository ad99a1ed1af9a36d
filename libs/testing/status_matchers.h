// SPDX-License-Identifier: Apache-2.0
// Matchers for absl::Status and absl::StatusOr, which Debian's Abseil lacks.
//   EXPECT_THAT(store.Get(id), StatusIs(absl::StatusCode::kNotFound, HasSubstr("mem_1")));
//   ASSERT_OK_AND_ASSIGN(auto memory, store.Get(id));
// Inside namespace dki write ::testing:: for GoogleTest, testing:: for this folder.
#pragma once

#include <gmock/gmock.h>

#include <ostream>
#include <string>
#include <utility>

#include "libs/base/status.h"

namespace dki::testing {

inline const absl::Status& StatusOf(const absl::Status& status) {
  return status;
}
template <typename T>
const absl::Status& StatusOf(const absl::StatusOr<T>& status_or) {
  return status_or.status();
}

MATCHER(IsOk, negation ? "is not OK" : "is OK") {
  *result_listener << ToString(StatusOf(arg));
  return StatusOf(arg).ok();
}

// `message` is a string or a matcher of std::string.
MATCHER_P2(StatusIs, code, message, "has the code and a message that matches") {
  const absl::Status& status = StatusOf(arg);
  *result_listener << ToString(status);
  return status.code() == code &&
         ::testing::ExplainMatchResult(message, std::string(status.message()), result_listener);
}
inline auto StatusIs(absl::StatusCode code) {
  return StatusIs(code, ::testing::_);
}

}  // namespace dki::testing

#define EXPECT_OK(expression) EXPECT_THAT((expression), ::dki::testing::IsOk())
#define ASSERT_OK(expression) ASSERT_THAT((expression), ::dki::testing::IsOk())

// ASSERT_OK_AND_ASSIGN(auto x, F()): x = *F(), or the test fails.
#define ASSERT_OK_AND_ASSIGN(lhs, expression) \
  ASSERT_OK_AND_ASSIGN_INNER_(DKI_CONCAT_(dki_statusor_, __LINE__), lhs, expression)
#define ASSERT_OK_AND_ASSIGN_INNER_(statusor, lhs, expression) \
  auto statusor = (expression);                                \
  ASSERT_OK(statusor);                                         \
  lhs = std::move(statusor).value()
