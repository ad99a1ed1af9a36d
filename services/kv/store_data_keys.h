// SPDX-License-Identifier: Apache-2.0
// Purpose: data keys that are made and opened here, under the deployment's key, and kept sealed in
//   memory_store. Opened ones are held for a while (their memory is overwritten when they are let
//   go). A store that is away costs a caller one timeout; then it is not asked for a moment.
// Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "dki/memory/v1/data_key_service.grpc.pb.h"
#include "libs/base/mutex.h"
#include "libs/kvcache/data_keys.h"
#include "libs/rpc/service_runtime.h"

namespace dki::kv {

class StoreDataKeys final : public kvcache::DataKeys {
 public:
  struct Options {
    // How long an opened key is used before the store is asked again: for so long at most blocks
    // are readable here after their user was erased, where the feed has not told yet.
    std::chrono::milliseconds lifetime{30'000};
    std::chrono::milliseconds timeout{1000};
    std::chrono::milliseconds rest{2000};
  };
  // `runtime` outlives it.
  StoreDataKeys(std::unique_ptr<memory::v1::DataKeyService::StubInterface> stub, SecretKey wrapping,
                rpc::ServiceRuntime* runtime, Options options);

  absl::StatusOr<Held> ForUser(const std::string& tenant_id, const std::string& user_id) override;
  absl::StatusOr<Held> ById(const std::string& tenant_id, const std::string& key_id) override;
  bool IsUp() const override;

  // Lets go of the tenant's keys: something of it was erased, maybe a user.
  void Forget(const std::string& tenant_id);

 private:
  using Clock = std::chrono::steady_clock;
  struct Entry {
    Held key;
    Clock::time_point until;
  };
  using Name = std::pair<std::string, std::string>;  // tenant, and user or key id

  std::optional<Held> Find(std::map<Name, Entry>* table, const Name& name)
      ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  absl::StatusOr<Held> Unwrap(const std::string& tenant_id, const memory::v1::DataKey& key) const;
  // Keeps it unless keys were forgotten since `n_forgotten`.
  void Keep(const std::string& tenant_id, const std::string& user_id, const Held& key,
            int64_t n_forgotten);
  absl::Status Ask(const std::function<grpc::Status(grpc::ClientContext*)>& call,
                   const std::string& tenant_id);

  const std::unique_ptr<memory::v1::DataKeyService::StubInterface> stub_;
  const SecretKey wrapping_;
  const std::string wrapping_name_;
  rpc::ServiceRuntime* const runtime_;
  const Options options_;
  telemetry::Counter* const failures_;
  mutable Mutex mutex_;
  std::map<Name, Entry> by_user_ ABSL_GUARDED_BY(mutex_);
  std::map<Name, Entry> by_id_ ABSL_GUARDED_BY(mutex_);
  int64_t n_forgotten_ ABSL_GUARDED_BY(mutex_) = 0;
  Clock::time_point rest_until_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::kv
