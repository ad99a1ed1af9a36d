// SPDX-License-Identifier: Apache-2.0
#include "libs/base/status.h"

#include <gtest/gtest.h>

namespace dki {
namespace {

absl::StatusOr<int> Half(int x) {
  if (x % 2 != 0) return InvalidArgument("x is %d, which is odd", x);
  return x / 2;
}

absl::StatusOr<int> Quarter(int x) {
  DKI_ASSIGN_OR_RETURN(const int half, Half(x));
  DKI_ASSIGN_OR_RETURN(const int quarter, Half(half));
  return quarter;
}

TEST(StatusTest, AssignOrReturnPassesTheErrorOn) {
  EXPECT_EQ(*Quarter(8), 2);
  EXPECT_EQ(ToString(Quarter(6).status()), "INVALID_ARGUMENT: x is 3, which is odd");
}

TEST(StatusTest, AnnotateKeepsTheCode) {
  const absl::Status status = Annotate(NotFound("memory %s", std::string_view("m1")), "reading");
  EXPECT_EQ(status.code(), absl::StatusCode::kNotFound);
  EXPECT_EQ(ToStd(status.message()), "reading: memory m1");
  EXPECT_TRUE(Annotate(absl::OkStatus(), "reading").ok());
}

}  // namespace
}  // namespace dki
