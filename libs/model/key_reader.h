// SPDX-License-Identifier: Apache-2.0
// Hyperparameters by key, each within its limits.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "libs/base/status.h"

namespace dki::model {

// Reads keys with a prefix and remembers the first failure, so that a table of reads stays a table.
// Source: GgufFile or JsonConfig.
template <typename Source>
class KeyReader {
 public:
  KeyReader(const Source& source, std::string prefix)
      : source_(source), prefix_(std::move(prefix)) {}

  int Int(std::string_view name, int min, int max) {
    const std::string key = Key(name);
    absl::StatusOr<uint64_t> value = source_.GetUint(key);
    if (!value.ok()) return Fail(value.status()), min;
    if (*value < static_cast<uint64_t>(min) || *value > static_cast<uint64_t>(max)) {
      Fail(InvalidArgument("%s is %u, it must be between %d and %d", key, *value, min, max));
      return min;
    }
    return static_cast<int>(*value);
  }
  int IntOr(std::string_view name, int absent, int min, int max) {
    return Has(name) ? Int(name, min, max) : absent;
  }
  // min < value <= max
  double Float(std::string_view name, double min, double max) {
    const std::string key = Key(name);
    absl::StatusOr<double> value = source_.GetFloat(key);
    if (!value.ok()) return Fail(value.status()), max;
    if (!(*value > min && *value <= max)) {
      Fail(InvalidArgument("%s is %g, it must be above %g and at most %g", key, *value, min, max));
      return max;
    }
    return *value;
  }
  double FloatOr(std::string_view name, double absent, double min, double max) {
    return Has(name) ? Float(name, min, max) : absent;
  }
  bool BoolOr(std::string_view name, bool absent) {
    if (!Has(name)) return absent;
    absl::StatusOr<bool> value = source_.GetBool(Key(name));
    if (!value.ok()) Fail(value.status());
    return value.value_or(absent);
  }
  std::string StringOr(std::string_view name, std::string_view absent) {
    if (!Has(name)) return std::string(absent);
    absl::StatusOr<std::string_view> value = source_.GetString(Key(name));
    if (!value.ok()) Fail(value.status());
    return std::string(value.value_or(absent));
  }
  bool Has(std::string_view name) const { return source_.Has(Key(name)); }
  std::string Key(std::string_view name) const { return prefix_ + std::string(name); }
  void Fail(const absl::Status& status) {
    if (status_.ok())
      status_ = absl::IsNotFound(status) ? InvalidArgument("%s", ToStd(status.message())) : status;
  }
  const absl::Status& status() const { return status_; }

 private:
  const Source& source_;
  const std::string prefix_;
  absl::Status status_;
};

}  // namespace dki::model
