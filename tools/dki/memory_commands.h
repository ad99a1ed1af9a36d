// SPDX-License-Identifier: Apache-2.0
// Purpose: `dki memory ...`.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tools/dki/context.h"

namespace dki::cli {

struct MemoryOptions {
  ScopeOptions scope;
  std::string id;
  std::string text;
  std::vector<std::string> tags;
  std::string metadata_json;
  std::string expires;  // RFC 3339, or a duration from now such as "30d"
  bool pin = false;
  int priority = 0;
  bool all = false;  // list: the whole tenant's
  int limit = 50;
  int k = 8;
  std::optional<float> threshold;
  std::string file;  // import; "-": stdin
};

absl::Status AddMemory(Context& context, const MemoryOptions& options);
absl::Status ListMemories(Context& context, const MemoryOptions& options);
absl::Status ShowMemory(Context& context, const MemoryOptions& options);
absl::Status EditMemory(Context& context, const MemoryOptions& options);
absl::Status ShowHistory(Context& context, const MemoryOptions& options);
absl::Status RemoveMemory(Context& context, const MemoryOptions& options);
absl::Status SearchMemories(Context& context, const MemoryOptions& options);
absl::Status ImportMemories(Context& context, const MemoryOptions& options);

// "2027-01-31T00:00:00Z", or "90s", "15m", "12h", "30d" from now. INVALID_ARGUMENT.
absl::StatusOr<absl::Time> ParseExpiry(const std::string& text, absl::Time now);

}  // namespace dki::cli
