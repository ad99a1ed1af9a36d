// SPDX-License-Identifier: Apache-2.0
// Purpose: the service's configuration: defaults, and what is taken from it, checked.
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "absl/time/time.h"
#include "dki/config/v1/kv.pb.h"
#include "libs/base/status.h"
#include "libs/injection/block_maker.h"
#include "libs/kvcache/redis_pool.h"
#include "libs/kvcache/tier_budget.h"
#include "libs/model/model.h"

namespace dki::kv {

struct Settings {
  std::string model_path;
  model::ModelOptions model;
  kernels::KvFormat block_format = kernels::KvFormat::kF32;
  injection::DriftOptions drift = {};
  std::string memory_store_address;
  kvcache::TierBudget::Options ram;
  std::string handoff_socket;  // empty: none
  std::string disk_path;       // empty: no disk tier
  kvcache::TierBudget::Options disk;
  struct Remote {
    kvcache::RedisPool::Options pool;
    std::string prefix = "dki:";
    absl::Duration ttl = absl::Hours(24);
  };
  std::optional<Remote> remote;
  std::string encryption_key_file;  // empty: the disk tier is not encrypted
  std::chrono::milliseconds data_key_lifetime{30'000};
  bool always_load = false;  // no choice between load and recompute
};

config::v1::KvServer DefaultConfig();

// INVALID_ARGUMENT names the field and its limit.
absl::StatusOr<Settings> ReadConfig(const config::v1::KvServer& config);

}  // namespace dki::kv
