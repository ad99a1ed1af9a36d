// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/data_key_service.h"

#include "libs/base/utf8.h"

namespace dki::memory_store {
namespace {

using rpc::Call;
using rpc::Requirement;

constexpr size_t kKeyIdBytes = 16;
constexpr size_t kMaxUserId = 256;
constexpr size_t kMaxWrappingKey = 64;
constexpr size_t kMaxWrapped = 256;

absl::Status HasTenant(const Call& call) {
  if (!call.caller().tenant_id.empty()) return absl::OkStatus();
  return PermissionDenied("the call must be made on behalf of a tenant");
}

absl::Status CheckKeyId(const char* field, const std::string& key_id) {
  if (key_id.size() == kKeyIdBytes) return absl::OkStatus();
  return InvalidArgument("%s: %d bytes, must be %d", field, key_id.size(), kKeyIdBytes);
}

absl::Status CheckUserId(const char* field, const std::string& user_id) {
  if (user_id.size() <= kMaxUserId && user_id.find('\0') == std::string::npos) {
    return absl::OkStatus();
  }
  return InvalidArgument("%s: must be at most %d bytes without NUL", field, kMaxUserId);
}

absl::Status Validate(const memory::v1::DataKey& key) {
  DKI_RETURN_IF_ERROR(CheckUserId("key.user_id", key.user_id()));
  DKI_RETURN_IF_ERROR(CheckKeyId("key.key_id", key.key_id()));
  if (key.wrapping_key().empty() || key.wrapping_key().size() > kMaxWrappingKey ||
      key.wrapping_key().find('\0') != std::string::npos) {
    return InvalidArgument("key.wrapping_key: must be 1 to %d bytes without NUL", kMaxWrappingKey);
  }
  if (key.wrapped().empty() || key.wrapped().size() > kMaxWrapped) {
    return InvalidArgument("key.wrapped: %d bytes, must be 1 to %d", key.wrapped().size(),
                           kMaxWrapped);
  }
  return absl::OkStatus();
}

}  // namespace

grpc::Status DataKeyService::GetOrCreateDataKey(
    grpc::ServerContext* context, const memory::v1::GetOrCreateDataKeyRequest* request,
    memory::v1::GetOrCreateDataKeyResponse* response) {
  return rpc::Handle(*runtime_, context, "GetOrCreateDataKey", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(HasTenant(call));
                       DKI_RETURN_IF_ERROR(Validate(request->key()));
                       DKI_ASSIGN_OR_RETURN(*response->mutable_key(),
                                            keys_->GetOrCreate(call.caller().tenant_id,
                                                               request->key(), call.deadline()));
                       return absl::OkStatus();
                     });
}

grpc::Status DataKeyService::GetDataKey(grpc::ServerContext* context,
                                        const memory::v1::GetDataKeyRequest* request,
                                        memory::v1::GetDataKeyResponse* response) {
  return rpc::Handle(*runtime_, context, "GetDataKey", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(HasTenant(call));
                       DKI_RETURN_IF_ERROR(CheckKeyId("key_id", request->key_id()));
                       DKI_ASSIGN_OR_RETURN(
                           *response->mutable_key(),
                           keys_->Get(call.caller().tenant_id, request->key_id(), call.deadline()));
                       return absl::OkStatus();
                     });
}

grpc::Status DataKeyService::DestroyDataKeys(grpc::ServerContext* context,
                                             const memory::v1::DestroyDataKeysRequest* request,
                                             memory::v1::DestroyDataKeysResponse* response) {
  return rpc::Handle(
      *runtime_, context, "DestroyDataKeys", Requirement::ClusterOnly(),
      [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(HasTenant(call));
        DKI_RETURN_IF_ERROR(CheckUserId("user_id", request->user_id()));
        DKI_ASSIGN_OR_RETURN(
            const int64_t destroyed,
            keys_->DestroyUser(call.caller().tenant_id, request->user_id(), call.deadline()));
        response->set_destroyed(destroyed);
        return absl::OkStatus();
      });
}

}  // namespace dki::memory_store
