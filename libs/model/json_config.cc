// SPDX-License-Identifier: Apache-2.0
#include "libs/model/json_config.h"

#include <cmath>
#include <utility>

#include "libs/base/strings.h"
#include "libs/model/json_reader.h"

namespace dki::model {
namespace {

constexpr size_t kMaxValues = 100'000;
constexpr size_t kMaxKeyBytes = 1'024;
constexpr int kMaxDepth = 8;

}  // namespace

absl::StatusOr<JsonConfig> JsonConfig::Parse(std::string_view text) {
  JsonConfig config;
  JsonReader json(text);
  if (json.Peek() != '{') return InvalidArgument("JSON: the text is not an object");
  DKI_RETURN_IF_ERROR(config.Read("", 0, &json));
  DKI_RETURN_IF_ERROR(json.ExpectEnd());
  return config;
}

absl::Status JsonConfig::Read(const std::string& key, int depth, JsonReader* json) {
  if (depth > kMaxDepth) return InvalidArgument("JSON: nested more than %d deep", kMaxDepth);
  if (key.size() > kMaxKeyBytes) return InvalidArgument("JSON: a key is too long");
  if (values_.size() == kMaxValues) return InvalidArgument("JSON: more than %d values", kMaxValues);
  const std::string prefix = key.empty() ? "" : key + ".";
  Value value;
  switch (json->Peek()) {
    case '{':
      return json->ReadObject(
          [&](const std::string& name) { return Read(prefix + name, depth + 1, json); });
    case '[': {
      int index = 0;
      return json->ReadArray(
          [&] { return Read(prefix + std::to_string(index++), depth + 1, json); });
    }
    case '"': {
      DKI_ASSIGN_OR_RETURN(value, json->ReadString());
      break;
    }
    case 't':
    case 'f': {
      DKI_ASSIGN_OR_RETURN(value, json->ReadBool());
      break;
    }
    case 'n':
      return json->Skip();
    default: {
      DKI_ASSIGN_OR_RETURN(value, json->ReadNumber());
    }
  }
  if (!values_.emplace(key, std::move(value)).second)
    return InvalidArgument("JSON: '%s' occurs twice", Abbreviate(key, 64));
  return absl::OkStatus();
}

template <typename T>
absl::StatusOr<T> JsonConfig::Get(std::string_view key, const char* type) const {
  const auto it = values_.find(key);
  if (it == values_.end()) return NotFound("'%s' is missing", key);
  const T* value = std::get_if<T>(&it->second);
  if (value == nullptr) return InvalidArgument("'%s' is not %s", key, type);
  return *value;
}

absl::StatusOr<uint64_t> JsonConfig::GetUint(std::string_view key) const {
  DKI_ASSIGN_OR_RETURN(const double value, Get<double>(key, "a number"));
  if (!(value >= 0 && value < 0x1p53) || value != std::floor(value))
    return InvalidArgument("'%s' is %g, not an integer from 0 on", key, value);
  return static_cast<uint64_t>(value);
}

absl::StatusOr<double> JsonConfig::GetFloat(std::string_view key) const {
  return Get<double>(key, "a number");
}

absl::StatusOr<bool> JsonConfig::GetBool(std::string_view key) const {
  return Get<bool>(key, "true or false");
}

absl::StatusOr<std::string_view> JsonConfig::GetString(std::string_view key) const {
  const auto it = values_.find(key);
  if (it == values_.end()) return NotFound("'%s' is missing", key);
  const std::string* value = std::get_if<std::string>(&it->second);
  if (value == nullptr) return InvalidArgument("'%s' is not a string", key);
  return std::string_view(*value);
}

}  // namespace dki::model
