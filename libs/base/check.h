// SPDX-License-Identifier: Apache-2.0
// DKI_CHECK stops the process when an invariant of our own code is broken. Never for input: input
// gets a Status.
#pragma once

namespace dki {
[[noreturn]] void CheckFailed(const char* file, int line, const char* condition);
}  // namespace dki

#define DKI_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::dki::CheckFailed(__FILE__, __LINE__, #condition))
