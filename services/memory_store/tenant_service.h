// SPDX-License-Identifier: Apache-2.0
// TenantService on the wire: authenticate, convert, call TenantDirectory.
#pragma once

#include "dki/tenant/v1/tenant_service.grpc.pb.h"
#include "libs/rpc/call.h"
#include "services/memory_store/tenant_directory.h"

namespace dki::memory_store {

class TenantServiceImpl : public tenant::v1::TenantService::Service {
 public:
  TenantServiceImpl(rpc::ServiceRuntime* runtime, TenantDirectory* tenants)
      : runtime_(runtime), tenants_(tenants) {}

  grpc::Status CreateTenant(grpc::ServerContext* context,
                            const tenant::v1::CreateTenantRequest* request,
                            tenant::v1::CreateTenantResponse* response) override;
  grpc::Status ListTenants(grpc::ServerContext* context,
                           const tenant::v1::ListTenantsRequest* request,
                           tenant::v1::ListTenantsResponse* response) override;
  grpc::Status DeleteTenant(grpc::ServerContext* context,
                            const tenant::v1::DeleteTenantRequest* request,
                            tenant::v1::DeleteTenantResponse* response) override;
  grpc::Status CreateKey(grpc::ServerContext* context, const tenant::v1::CreateKeyRequest* request,
                         tenant::v1::CreateKeyResponse* response) override;
  grpc::Status ListKeys(grpc::ServerContext* context, const tenant::v1::ListKeysRequest* request,
                        tenant::v1::ListKeysResponse* response) override;
  grpc::Status RevokeKey(grpc::ServerContext* context, const tenant::v1::RevokeKeyRequest* request,
                         tenant::v1::RevokeKeyResponse* response) override;
  grpc::Status Authenticate(grpc::ServerContext* context,
                            const tenant::v1::AuthenticateRequest* request,
                            tenant::v1::AuthenticateResponse* response) override;

 private:
  // Runs `body` for who may manage the keys of the caller's tenant.
  grpc::Status ForKeyManager(grpc::ServerContext* context, const char* method,
                             const std::function<absl::Status(const rpc::Call&)>& body);

  rpc::ServiceRuntime* const runtime_;
  TenantDirectory* const tenants_;
};

}  // namespace dki::memory_store
