// SPDX-License-Identifier: Apache-2.0
// Data keys in this process, for tests of what is encrypted with them.
#pragma once

#include <map>
#include <string>
#include <utility>

#include "libs/base/ids.h"
#include "libs/base/mutex.h"
#include "libs/kvcache/data_keys.h"

namespace dki::kvcache {

class TestDataKeys : public DataKeys {
 public:
  absl::StatusOr<Held> ForUser(const std::string& tenant_id, const std::string& user_id) override {
    MutexLock lock(&mutex_);
    if (!is_up_) return Unavailable("down");
    Held& key = keys_[{tenant_id, user_id}];
    if (key == nullptr) {
      key = std::make_shared<const DataKey>(
          DataKey{RandomBytes(kDataKeyIdSize), SecretKey::Random()});
    }
    return key;
  }
  absl::StatusOr<Held> ById(const std::string& tenant_id, const std::string& key_id) override {
    MutexLock lock(&mutex_);
    if (!is_up_) return Unavailable("down");
    for (const auto& [name, key] : keys_) {
      if (name.first == tenant_id && key->id == key_id) return key;
    }
    return NotFound("destroyed");
  }
  bool IsUp() const override {
    MutexLock lock(&mutex_);
    return is_up_;
  }

  void Destroy(const std::string& tenant_id, const std::string& user_id) {
    MutexLock lock(&mutex_);
    keys_.erase({tenant_id, user_id});
  }
  void SetUp(bool is_up) {
    MutexLock lock(&mutex_);
    is_up_ = is_up;
  }

 private:
  mutable Mutex mutex_;
  std::map<std::pair<std::string, std::string>, Held> keys_ ABSL_GUARDED_BY(mutex_);
  bool is_up_ ABSL_GUARDED_BY(mutex_) = true;
};

}  // namespace dki::kvcache
