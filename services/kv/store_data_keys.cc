// SPDX-License-Identifier: Apache-2.0
#include "services/kv/store_data_keys.h"

#include <functional>

#include "libs/base/ids.h"
#include "libs/kvcache/byte_codec.h"
#include "libs/rpc/client.h"
#include "libs/telemetry/log.h"

namespace dki::kv {
namespace {

using memory::v1::DataKey;

// Beyond so many, those whose time is over are looked for.
constexpr size_t kManyKeys = 4096;

// Binds a sealed key to whose it is, so that rows of the database cannot be swapped.
std::string Purpose(const std::string& tenant_id, const DataKey& key) {
  std::string text;
  kvcache::ByteWriter out(&text);
  out.String("dki data key 1");
  out.String(tenant_id);
  out.String(key.user_id());
  out.String(key.key_id());
  return text;
}

}  // namespace

StoreDataKeys::StoreDataKeys(std::unique_ptr<memory::v1::DataKeyService::StubInterface> stub,
                             SecretKey wrapping, rpc::ServiceRuntime* runtime, Options options)
    : stub_(std::move(stub)),
      wrapping_(std::move(wrapping)),
      wrapping_name_(wrapping_.Fingerprint()),
      runtime_(runtime),
      options_(options),
      failures_(runtime->metrics().GetCounter("dki_kv_data_key_failures_total",
                                              "Data keys that could not be had.")) {}

absl::StatusOr<StoreDataKeys::Held> StoreDataKeys::ForUser(const std::string& tenant_id,
                                                           const std::string& user_id) {
  int64_t n_forgotten = 0;
  {
    MutexLock lock(&mutex_);
    if (auto held = Find(&by_user_, {tenant_id, user_id})) return *held;
    n_forgotten = n_forgotten_;
  }
  memory::v1::GetOrCreateDataKeyRequest request;
  memory::v1::GetOrCreateDataKeyResponse response;
  DataKey* const proposed = request.mutable_key();
  proposed->set_user_id(user_id);
  proposed->set_wrapping_key(wrapping_name_);
  proposed->set_key_id(RandomBytes(kvcache::kDataKeyIdSize));
  proposed->set_wrapped(wrapping_.Wrap(Purpose(tenant_id, *proposed), SecretKey::Random()));
  DKI_RETURN_IF_ERROR(Ask(
      [&](grpc::ClientContext* context) {
        return stub_->GetOrCreateDataKey(context, request, &response);
      },
      tenant_id));
  if (response.key().user_id() != user_id) return Internal("the store gave another user's key");
  DKI_ASSIGN_OR_RETURN(const Held key, Unwrap(tenant_id, response.key()));
  Keep(tenant_id, user_id, key, n_forgotten);
  return key;
}

absl::StatusOr<StoreDataKeys::Held> StoreDataKeys::ById(const std::string& tenant_id,
                                                        const std::string& key_id) {
  int64_t n_forgotten = 0;
  {
    MutexLock lock(&mutex_);
    if (auto held = Find(&by_id_, {tenant_id, key_id})) return *held;
    n_forgotten = n_forgotten_;
  }
  memory::v1::GetDataKeyRequest request;
  memory::v1::GetDataKeyResponse response;
  request.set_key_id(key_id);
  DKI_RETURN_IF_ERROR(Ask(
      [&](grpc::ClientContext* context) { return stub_->GetDataKey(context, request, &response); },
      tenant_id));
  if (response.key().key_id() != key_id) return Internal("the store gave another key");
  DKI_ASSIGN_OR_RETURN(const Held key, Unwrap(tenant_id, response.key()));
  Keep(tenant_id, response.key().user_id(), key, n_forgotten);
  return key;
}

bool StoreDataKeys::IsUp() const {
  MutexLock lock(&mutex_);
  return Clock::now() >= rest_until_;
}

void StoreDataKeys::Forget(const std::string& tenant_id) {
  MutexLock lock(&mutex_);
  ++n_forgotten_;
  const auto is_theirs = [&](const auto& entry) { return entry.first.first == tenant_id; };
  std::erase_if(by_user_, is_theirs);
  std::erase_if(by_id_, is_theirs);
}

std::optional<StoreDataKeys::Held> StoreDataKeys::Find(std::map<Name, Entry>* table,
                                                       const Name& name) {
  const auto found = table->find(name);
  if (found == table->end()) return std::nullopt;
  if (Clock::now() < found->second.until) return found->second.key;
  table->erase(found);
  return std::nullopt;
}

absl::StatusOr<StoreDataKeys::Held> StoreDataKeys::Unwrap(const std::string& tenant_id,
                                                          const DataKey& key) const {
  absl::StatusOr<SecretKey> opened = wrapping_.Unwrap(Purpose(tenant_id, key), key.wrapped());
  if (opened.ok()) {
    return std::make_shared<const kvcache::DataKey>(
        kvcache::DataKey{key.key_id(), *std::move(opened)});
  }
  failures_->Increment();
  // Of a block from before the deployment's key was replaced: as good as destroyed.
  if (key.wrapping_key() != wrapping_name_) {
    return NotFound("the data key is sealed under %s, not %s", key.wrapping_key(), wrapping_name_);
  }
  log::Error("a data key cannot be opened", {{"error", ToString(opened.status())}});
  return Unavailable("the data key cannot be opened");
}

void StoreDataKeys::Keep(const std::string& tenant_id, const std::string& user_id, const Held& key,
                         int64_t n_forgotten) {
  MutexLock lock(&mutex_);
  if (n_forgotten != n_forgotten_) return;
  if (by_id_.size() >= kManyKeys) {
    const auto is_over = [now = Clock::now()](const auto& entry) {
      return entry.second.until <= now;
    };
    std::erase_if(by_user_, is_over);
    std::erase_if(by_id_, is_over);
  }
  const Entry entry{key, Clock::now() + options_.lifetime};
  by_id_[{tenant_id, key->id}] = entry;
  by_user_[{tenant_id, user_id}] = entry;
}

absl::Status StoreDataKeys::Ask(const std::function<grpc::Status(grpc::ClientContext*)>& call,
                                const std::string& tenant_id) {
  if (!IsUp()) return Unavailable("memory_store is away, not asked for data keys for a moment");
  const auto context =
      rpc::OutgoingContext(runtime_->cluster_key(), tenant_id, "", options_.timeout);
  const absl::Status status = rpc::FromGrpcStatus(call(context.get()));
  if (status.ok() || absl::IsNotFound(status)) return status;
  failures_->Increment();
  MutexLock lock(&mutex_);
  rest_until_ = Clock::now() + options_.rest;
  return Unavailable("data keys: %s", ToString(status));
}

}  // namespace dki::kv
