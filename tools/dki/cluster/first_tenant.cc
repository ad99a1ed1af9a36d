// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/cluster/first_tenant.h"

#include <filesystem>
#include <nlohmann/json.hpp>

#include "dki/tenant/v1/tenant_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/rpc/client.h"

namespace dki::cluster {
namespace {

constexpr char kTenant[] = "default";
constexpr std::chrono::seconds kTimeout{10};

std::string Address(int port_base, const std::string& service) {
  return absl::StrFormat("127.0.0.1:%d", ServicePort(port_base, service));
}

}  // namespace

absl::Status MakeFirstTenant(const Layout& layout, int port_base) {
  if (std::filesystem::exists(layout.client_settings())) return absl::OkStatus();
  DKI_ASSIGN_OR_RETURN(const rpc::ClusterKey key, rpc::ClusterKey::Load(layout.cluster_key()));
  const auto stub =
      tenant::v1::TenantService::NewStub(rpc::CreateChannel(Address(port_base, "memory_store")));

  tenant::v1::CreateTenantRequest tenant_request;
  tenant_request.set_id(kTenant);
  tenant::v1::CreateTenantResponse tenant_response;
  const auto tenant_context = rpc::OutgoingContext(key, "", "first-tenant", kTimeout);
  const absl::Status made = rpc::FromGrpcStatus(
      stub->CreateTenant(tenant_context.get(), tenant_request, &tenant_response));
  if (!made.ok() && !absl::IsAlreadyExists(made)) return Annotate(made, "making the first tenant");

  tenant::v1::CreateKeyRequest key_request;
  for (const char* scope : {"chat", "memory:read", "memory:write", "admin"})
    key_request.add_scopes(scope);
  key_request.set_note("made by dki up");
  tenant::v1::CreateKeyResponse key_response;
  const auto key_context = rpc::OutgoingContext(key, kTenant, "first-key", kTimeout);
  DKI_RETURN_IF_ERROR(
      Annotate(rpc::FromGrpcStatus(stub->CreateKey(key_context.get(), key_request, &key_response)),
               "making the first key"));

  const nlohmann::json settings = {{"address", Address(port_base, "orchestrator")},
                                   {"api_key", key_response.secret()},
                                   {"tenant", kTenant}};
  return WriteFileAtomically(layout.client_settings(), settings.dump(1) + "\n", 0600);
}

}  // namespace dki::cluster
