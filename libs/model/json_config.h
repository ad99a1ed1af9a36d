// SPDX-License-Identifier: Apache-2.0
// A JSON object as a flat table: values by their path, "rope_scaling.factor" or "layer_types.0".
// Untrusted text: depth and number of values are limited.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <variant>

#include "libs/base/status.h"

namespace dki::model {

class JsonReader;

class JsonConfig {
 public:
  // INVALID_ARGUMENT says at which byte the text is not a JSON object.
  static absl::StatusOr<JsonConfig> Parse(std::string_view text);

  // False for null, too.
  bool Has(std::string_view key) const { return values_.contains(key); }
  // NOT_FOUND when the key is absent or null, INVALID_ARGUMENT when its type does not fit.
  absl::StatusOr<uint64_t> GetUint(std::string_view key) const;
  absl::StatusOr<double> GetFloat(std::string_view key) const;
  absl::StatusOr<bool> GetBool(std::string_view key) const;
  absl::StatusOr<std::string_view> GetString(std::string_view key) const;

 private:
  using Value = std::variant<double, bool, std::string>;
  absl::Status Read(const std::string& key, int depth, JsonReader* json);
  template <typename T>
  absl::StatusOr<T> Get(std::string_view key, const char* type) const;

  std::map<std::string, Value, std::less<>> values_;
};

}  // namespace dki::model
