// SPDX-License-Identifier: Apache-2.0
// Purpose: what of a memory, beside its text, decides how its K/V is kept (pins, priority, expiry,
//   whose key encrypts it) and how strongly it may weigh (source class). Plain data.
#pragma once

#include <string>

#include "absl/time/time.h"

namespace dki::injection {

enum class SourceClass { kUser, kAssistant, kDocument, kTool, kOperator };

struct MemoryAttributes {
  std::string user_id = {};  // of its scope; empty: no user's
  SourceClass source_class = SourceClass::kUser;
  bool pinned = false;
  int priority = 0;  // [-100, 100]
  absl::Time expire_time = absl::InfiniteFuture();
  bool operator==(const MemoryAttributes&) const = default;
};

}  // namespace dki::injection
