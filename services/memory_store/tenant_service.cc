// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/tenant_service.h"

#include "services/memory_store/key_secret.h"
#include "services/memory_store/key_verifier.h"
#include "services/memory_store/memory_rules.h"
#include "services/memory_store/tenant_rules.h"

namespace dki::memory_store {
namespace {

using rpc::Call;
using rpc::Permission;
using rpc::Requirement;

// Each scope once, in a fixed order.
tenant::v1::ApiKey MakeKey(const std::string& id, const std::string& tenant_id,
                           const tenant::v1::CreateKeyRequest& request, absl::Time now) {
  const std::set<std::string> scopes(request.scopes().begin(), request.scopes().end());
  tenant::v1::ApiKey key;
  key.set_id(id);
  key.set_tenant_id(tenant_id);
  key.mutable_scopes()->Add(scopes.begin(), scopes.end());
  key.set_note(request.note());
  *key.mutable_create_time() = FromMicros(absl::ToUnixMicros(now));
  return key;
}

}  // namespace

grpc::Status TenantService::CreateTenant(grpc::ServerContext* context,
                                         const tenant::v1::CreateTenantRequest* request,
                                         tenant::v1::CreateTenantResponse* response) {
  return rpc::Handle(*runtime_, context, "CreateTenant", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(ValidateTenantId(request->id()));
                       DKI_ASSIGN_OR_RETURN(
                           *response->mutable_tenant(),
                           repository_->CreateTenant(request->id(), call.deadline()));
                       return absl::OkStatus();
                     });
}

grpc::Status TenantService::ListTenants(grpc::ServerContext* context,
                                        const tenant::v1::ListTenantsRequest*,
                                        tenant::v1::ListTenantsResponse* response) {
  return rpc::Handle(*runtime_, context, "ListTenants", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(const auto tenants,
                                            repository_->ListTenants(call.deadline()));
                       response->mutable_tenants()->Add(tenants.begin(), tenants.end());
                       return absl::OkStatus();
                     });
}

grpc::Status TenantService::DeleteTenant(grpc::ServerContext* context,
                                         const tenant::v1::DeleteTenantRequest* request,
                                         tenant::v1::DeleteTenantResponse* response) {
  return rpc::Handle(*runtime_, context, "DeleteTenant", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_RETURN_IF_ERROR(ValidateTenantId(request->id()));
                       DKI_ASSIGN_OR_RETURN(
                           *response->mutable_erasure_id(),
                           repository_->DeleteTenant(request->id(), call.deadline()));
                       return absl::OkStatus();
                     });
}

grpc::Status TenantService::CreateKey(grpc::ServerContext* context,
                                      const tenant::v1::CreateKeyRequest* request,
                                      tenant::v1::CreateKeyResponse* response) {
  return rpc::Handle(
      *runtime_, context, "CreateKey", Permission::kAdmin, [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(Validate(*request));
        const KeySecret made = NewKeySecret();
        const StoredKey stored{
            .key = MakeKey(made.key_id, call.caller().tenant_id, *request, clock_->Now()),
            .secret = HashSecret(made.secret)};
        DKI_RETURN_IF_ERROR(repository_->AddKey(stored, call.deadline()));
        *response->mutable_key() = stored.key;
        response->set_secret(made.secret);
        return absl::OkStatus();
      });
}

grpc::Status TenantService::ListKeys(grpc::ServerContext* context,
                                     const tenant::v1::ListKeysRequest*,
                                     tenant::v1::ListKeysResponse* response) {
  return rpc::Handle(
      *runtime_, context, "ListKeys", Permission::kAdmin, [&](const Call& call) -> absl::Status {
        DKI_ASSIGN_OR_RETURN(const auto keys,
                             repository_->ListKeys(call.caller().tenant_id, call.deadline()));
        response->mutable_keys()->Add(keys.begin(), keys.end());
        return absl::OkStatus();
      });
}

grpc::Status TenantService::RevokeKey(grpc::ServerContext* context,
                                      const tenant::v1::RevokeKeyRequest* request,
                                      tenant::v1::RevokeKeyResponse*) {
  return rpc::Handle(
      *runtime_, context, "RevokeKey", Permission::kAdmin, [&](const Call& call) -> absl::Status {
        DKI_RETURN_IF_ERROR(ValidateKeyId(request->id()));
        return repository_->RevokeKey(call.caller().tenant_id, request->id(), call.deadline());
      });
}

grpc::Status TenantService::Authenticate(grpc::ServerContext* context,
                                         const tenant::v1::AuthenticateRequest* request,
                                         tenant::v1::AuthenticateResponse* response) {
  return rpc::Handle(*runtime_, context, "Authenticate", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(
                           const rpc::Caller caller,
                           AuthenticateSecret(repository_, request->secret(), call.deadline()));
                       response->set_tenant_id(caller.tenant_id);
                       response->set_key_id(caller.key_id);
                       for (const Permission permission : caller.permissions) {
                         response->add_scopes(std::string(rpc::ToString(permission)));
                       }
                       return absl::OkStatus();
                     });
}

}  // namespace dki::memory_store
