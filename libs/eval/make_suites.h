// SPDX-License-Identifier: Apache-2.0
// Purpose: suites that anyone can make again from a seed, in the data folder's format, with the
//   project's own words: facts, numbers, facts after a conversation, notes in people's own words,
//   gates, poison.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/status.h"

namespace dki::eval {

struct MakeOptions {
  uint64_t seed = 1;
  int items = 200;  // of each suite; gate has a fifth more, poison at least 300
};

struct MadeSuite {
  std::string name;   // of the file, without .jsonl
  std::string lines;  // JSON Lines
};

// The same options give the same bytes. INVALID_ARGUMENT for fewer than 6 or more than 100,000
// items.
absl::StatusOr<std::vector<MadeSuite>> MakeSuites(const MakeOptions& options);

// Writes NAME.jsonl for each into `folder`, which is made.
absl::Status WriteSuites(const std::vector<MadeSuite>& suites, const std::string& folder);

}  // namespace dki::eval
