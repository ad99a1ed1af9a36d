// SPDX-License-Identifier: Apache-2.0
#include "libs/base/status.h"

namespace dki {

std::string ToString(const absl::Status& status) {
  const std::string text = status.ToString();
  return text;
}

absl::Status Annotate(const absl::Status& status, std::string_view context) {
  if (status.ok()) return status;
  return absl::Status(status.code(), absl::StrFormat("%s: %s", context, status.message()));
}

}  // namespace dki
