// SPDX-License-Identifier: Apache-2.0
// Where the K/V of a planned pack comes from: the kv service (services/generation) or this process
// (LocalPackSource).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "libs/base/status.h"
#include "libs/engine/request.h"
#include "libs/injection/pack_plan.h"
#include "libs/kvcache/block.h"

namespace dki::engine {

struct PackRequest {
  std::string tenant_id;
  std::string request_id;
  std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max();
  std::string context_system_prompt = {};
  std::vector<injection::PackMemoryText> memories = {};
  injection::Composition composition = {};
};

struct LoadedBlock {
  kvcache::Block block;
  Tier tier = Tier::kUnknown;
  int64_t load_us = 0;
  LoadChoice choice = {};
};

// Thread-safety: thread-safe.
class PackSource {
 public:
  virtual ~PackSource() = default;
  // The blocks of `plan` in order, each verified to be what the plan says. Any error means that the
  // pack cannot be had in time; `request` is what `plan` was made from.
  virtual absl::StatusOr<std::vector<LoadedBlock>> Load(const PackRequest& request,
                                                        const injection::PackPlan& plan) = 0;
};

}  // namespace dki::engine
