// SPDX-License-Identifier: Apache-2.0
// Purpose: the service's configuration: defaults, and what is taken from it, checked.
#pragma once

#include <cstdint>
#include <string>

#include "dki/config/v1/kv.pb.h"
#include "libs/base/status.h"
#include "libs/model/model.h"

namespace dki::kv {

struct Settings {
  std::string model_path;
  model::ModelOptions model;
  std::string memory_store_address;
  int64_t ram_bytes = 0;
  std::string disk_path;  // empty: no disk tier
  int64_t disk_bytes = 0;
};

config::v1::KvServer DefaultConfig();

// INVALID_ARGUMENT names the field and its limit.
absl::StatusOr<Settings> ReadConfig(const config::v1::KvServer& config);

}  // namespace dki::kv
