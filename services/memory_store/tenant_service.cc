// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/tenant_service.h"

namespace dki::memory_store {

namespace v1 = tenant::v1;
using rpc::Call;
using rpc::Requirement;

grpc::Status TenantServiceImpl::ForKeyManager(
    grpc::ServerContext* context, const char* method,
    const std::function<absl::Status(const Call&)>& body) {
  return rpc::Handle(*runtime_, context, method, Requirement::Authenticated(),
                     [&](const Call& call) {
                       const rpc::Caller& caller = call.caller();
                       const bool is_operator = caller.is_cluster && caller.key_id.empty();
                       if (!is_operator && !caller.May(rpc::Permission::kAdmin))
                         return PermissionDenied("%s needs the scope admin", method);
                       if (caller.tenant_id.empty()) return InvalidArgument("no tenant was named");
                       return body(call);
                     });
}

grpc::Status TenantServiceImpl::CreateTenant(grpc::ServerContext* context,
                                             const v1::CreateTenantRequest* request,
                                             v1::CreateTenantResponse* response) {
  return rpc::Handle(*runtime_, context, "CreateTenant", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(*response->mutable_tenant(),
                                            tenants_->Create(request->id(), call.deadline()));
                       return absl::OkStatus();
                     });
}

grpc::Status TenantServiceImpl::ListTenants(grpc::ServerContext* context,
                                            const v1::ListTenantsRequest*,
                                            v1::ListTenantsResponse* response) {
  return rpc::Handle(*runtime_, context, "ListTenants", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(const auto tenants, tenants_->List(call.deadline()));
                       for (const v1::Tenant& tenant : tenants) *response->add_tenants() = tenant;
                       return absl::OkStatus();
                     });
}

grpc::Status TenantServiceImpl::DeleteTenant(grpc::ServerContext* context,
                                             const v1::DeleteTenantRequest* request,
                                             v1::DeleteTenantResponse*) {
  return rpc::Handle(
      *runtime_, context, "DeleteTenant", Requirement::ClusterOnly(),
      [&](const Call& call) { return tenants_->Delete(request->id(), call.deadline()); });
}

grpc::Status TenantServiceImpl::CreateKey(grpc::ServerContext* context,
                                          const v1::CreateKeyRequest* request,
                                          v1::CreateKeyResponse* response) {
  return ForKeyManager(context, "CreateKey", [&](const Call& call) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(*response,
                         tenants_->CreateKey(call.caller().tenant_id, *request, call.deadline()));
    return absl::OkStatus();
  });
}

grpc::Status TenantServiceImpl::ListKeys(grpc::ServerContext* context, const v1::ListKeysRequest*,
                                         v1::ListKeysResponse* response) {
  return ForKeyManager(context, "ListKeys", [&](const Call& call) -> absl::Status {
    DKI_ASSIGN_OR_RETURN(const auto keys,
                         tenants_->ListKeys(call.caller().tenant_id, call.deadline()));
    for (const v1::ApiKey& key : keys) *response->add_keys() = key;
    return absl::OkStatus();
  });
}

grpc::Status TenantServiceImpl::RevokeKey(grpc::ServerContext* context,
                                          const v1::RevokeKeyRequest* request,
                                          v1::RevokeKeyResponse*) {
  return ForKeyManager(context, "RevokeKey", [&](const Call& call) {
    return tenants_->RevokeKey(call.caller().tenant_id, request->id(), call.deadline());
  });
}

grpc::Status TenantServiceImpl::Authenticate(grpc::ServerContext* context,
                                             const v1::AuthenticateRequest* request,
                                             v1::AuthenticateResponse* response) {
  return rpc::Handle(*runtime_, context, "Authenticate", Requirement::ClusterOnly(),
                     [&](const Call& call) -> absl::Status {
                       DKI_ASSIGN_OR_RETURN(
                           const rpc::Caller caller,
                           tenants_->Authenticate(request->secret(), call.deadline()));
                       response->set_tenant_id(caller.tenant_id);
                       response->set_key_id(caller.key_id);
                       for (const rpc::Permission permission : caller.permissions)
                         response->add_scopes(std::string(rpc::ToString(permission)));
                       return absl::OkStatus();
                     });
}

}  // namespace dki::memory_store
