// SPDX-License-Identifier: Apache-2.0
// Where tests find the models (tools/fetch_models puts them there).
#pragma once

#include <cstdlib>
#include <filesystem>
#include <string>

namespace dki::model {

// $DKI_MODELS, or dki/models in the user's cache folder.
inline std::filesystem::path ModelsFolder() {
  if (const char* folder = std::getenv("DKI_MODELS")) return folder;
  if (const char* cache = std::getenv("XDG_CACHE_HOME")) {
    return std::filesystem::path(cache) / "dki/models";
  }
  const char* home = std::getenv("HOME");
  return std::filesystem::path(home == nullptr ? "." : home) / ".cache/dki/models";
}
inline std::string DefaultModelPath() {
  return ModelsFolder() / "SmolLM2-135M-Instruct.Q4_1.gguf";
}
// An optional model: tools/fetch_models --gemma.
inline std::string GemmaModelPath() {
  return ModelsFolder() / "gemma-3-270m-q4_k_m.gguf";
}
inline std::string DefaultEmbedderPath() {
  return ModelsFolder() / "all-MiniLM-L6-v2";
}

}  // namespace dki::model

// Leaves the test as skipped when `path` is absent.
#define DKI_SKIP_WITHOUT(path)                                                        \
  if (!std::filesystem::exists(path)) {                                               \
    GTEST_SKIP() << (path) << " is absent: run tools/fetch_models or set DKI_MODELS"; \
  }
