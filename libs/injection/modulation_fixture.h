// SPDX-License-Identifier: Apache-2.0
// Modulation files with seeded weights, for tests.
#pragma once

#include <cstdint>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "libs/model/config.h"

namespace dki::injection {

// What a file is made from; every tensor is row-major.
struct ModulationParts {
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::vector<int>> shapes;
  std::map<std::string, std::vector<float>> values;
};

// Weights are multiples of 1/64 within +-1 (exact as halves), those of `up` times `up_scale`.
inline ModulationParts RandomModulation(const model::ModelConfig& config, int rank, uint64_t seed,
                                        float up_scale = 1.0f) {
  const int width = 2 * config.n_kv_heads * config.head_dim;
  ModulationParts parts;
  parts.metadata = {{"format", "dki-modulation"},
                    {"version", "1"},
                    {"model_fingerprint", config.fingerprint},
                    {"rank", std::to_string(rank)}};
  parts.shapes = {{"down", {config.n_layers, rank, width}},
                  {"up", {config.n_layers, width, rank}},
                  {"gamma", {config.n_layers, rank, config.hidden_dim}},
                  {"beta", {config.n_layers, rank, config.hidden_dim}}};
  std::mt19937_64 random(seed);
  for (const auto& [name, shape] : parts.shapes) {
    std::vector<float>& values = parts.values[name];
    for (int i = 0; i < shape[0] * shape[1] * shape[2]; ++i) {
      const float value = static_cast<float>(static_cast<int>(random() % 129) - 64) / 64.0f;
      values.push_back(name == "up" ? value * up_scale : value);
    }
  }
  return parts;
}

// As safetensors.
inline std::string FileBytes(const ModulationParts& parts) {
  std::string header = "{\"__metadata__\": {", data, separator;
  for (const auto& [name, value] : parts.metadata) {
    header += separator + '"' + name + "\": \"" + value + '"';
    separator = ", ";
  }
  header += "}";
  for (const auto& [name, values] : parts.values) {
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    header += ", \"" + name + "\": {\"dtype\": \"F32\", \"shape\": [";
    separator.clear();
    for (const int dim : parts.shapes.at(name)) {
      header += separator + std::to_string(dim);
      separator = ", ";
    }
    header += "], \"data_offsets\": [" + std::to_string(begin) + ", " +
              std::to_string(data.size()) + "]}";
  }
  header += "}";
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof(length)) + header + data;
}

}  // namespace dki::injection
