// SPDX-License-Identifier: Apache-2.0
// The service's configuration: defaults, limits, and what the engine gets of it.
#pragma once

#include <chrono>
#include <string>

#include "dki/config/v1/generation.pb.h"
#include "libs/base/status.h"
#include "libs/engine/engine.h"
#include "libs/engine/pack_cache.h"
#include "libs/model/model.h"

namespace dki::generation {

struct Settings {
  std::string model_path;
  model::ModelOptions model;
  std::string modulation_file;  // injection::LoadModulation
  engine::Engine::Options engine;
  engine::PackCache::Options packs;
  std::string kv_address;
  std::chrono::milliseconds kv_timeout;
  std::string handoff_socket;        // empty: none
  std::string memory_store_address;  // empty: its feed is not followed
};

config::v1::GenerationServer DefaultConfig();

// INVALID_ARGUMENT with the field's path and limit.
absl::StatusOr<Settings> ReadConfig(const config::v1::GenerationServer& config);

}  // namespace dki::generation
