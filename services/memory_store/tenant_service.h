// SPDX-License-Identifier: Apache-2.0
// Purpose: TenantService on the wire: permission, validation, one call of the repository. Tenants
//   are the cluster's (and the operator's, who can read its key); keys are also the tenant's
//   admin's.
// Thread-safety: thread-safe. Ownership: owns none of what it is given.
#pragma once

#include "dki/tenant/v1/tenant_service.grpc.pb.h"
#include "libs/base/clock.h"
#include "libs/rpc/call.h"
#include "libs/rpc/service_runtime.h"
#include "services/memory_store/tenant_repository.h"

namespace dki::memory_store {

class TenantService final : public tenant::v1::TenantService::Service {
 public:
  TenantService(rpc::ServiceRuntime* runtime, TenantRepository* repository, const Clock* clock)
      : runtime_(runtime), repository_(repository), clock_(clock) {}

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
  rpc::ServiceRuntime* const runtime_;
  TenantRepository* const repository_;
  const Clock* const clock_;
};

}  // namespace dki::memory_store
