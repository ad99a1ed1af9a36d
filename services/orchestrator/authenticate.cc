// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/authenticate.h"

#include "libs/base/ids.h"
#include "libs/base/utf8.h"

namespace dki::orchestrator {

absl::StatusOr<rpc::Caller> AuthenticateSecret(const Upstreams& upstreams,
                                               const std::string& secret) {
  // A proto string cannot carry it, and no key of ours looks so.
  if (!IsValidUtf8(secret)) return Unauthenticated("the API key is malformed");
  tenant::v1::AuthenticateRequest request;
  request.set_secret(secret);
  tenant::v1::AuthenticateResponse response;
  const auto context = upstreams.DetachedContext("", NewId("req_"), upstreams.memory_store_timeout);
  const absl::Status status =
      rpc::FromGrpcStatus(upstreams.tenants->Authenticate(context.get(), request, &response));
  if (absl::IsUnauthenticated(status)) {
    return Unauthenticated("the API key is not valid: %s", ToStd(status.message()));
  }
  DKI_RETURN_IF_ERROR(status);
  rpc::Caller caller;
  caller.tenant_id = response.tenant_id();
  caller.key_id = response.key_id();
  for (const std::string& scope : response.scopes()) {
    // A scope of a newer version gives no right here.
    const auto permission = rpc::ParsePermission(scope);
    if (permission.ok()) caller.permissions.insert(*permission);
  }
  return caller;
}

}  // namespace dki::orchestrator
