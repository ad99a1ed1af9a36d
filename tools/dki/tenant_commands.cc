// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/tenant_commands.h"

#include <nlohmann/json.hpp>

#include "dki/tenant/v1/tenant_service.grpc.pb.h"
#include "tools/dki/operator.h"

namespace dki::cli {
namespace {

namespace api = tenant::v1;

// A stub of the store and the right to use it.
struct Connected {
  std::unique_ptr<api::TenantService::StubInterface> stub;
  Operator op;

  std::unique_ptr<grpc::ClientContext> NewCall(const std::string& tenant) const {
    return op.NewCall(tenant);
  }
};

absl::StatusOr<Connected> Connect(Context& context) {
  DKI_ASSIGN_OR_RETURN(Operator op, ConnectAsOperator(context));
  auto stub = api::TenantService::NewStub(op.memory_store);
  return Connected{std::move(stub), std::move(op)};
}

void Say(const Output& output, const google::protobuf::Message& message, const std::string& line) {
  if (output.json()) {
    output.Json(ToJson(message));
  } else {
    output.Line(line);
  }
}

std::string Joined(const google::protobuf::RepeatedPtrField<std::string>& scopes) {
  std::string text;
  for (const std::string& scope : scopes) text += (text.empty() ? "" : " ") + scope;
  return text;
}

}  // namespace

absl::Status AddTenant(Context& context, const std::string& id) {
  DKI_ASSIGN_OR_RETURN(const Connected op, Connect(context));
  api::CreateTenantRequest request;
  request.set_id(id);
  api::CreateTenantResponse response;
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(op.stub->CreateTenant(op.NewCall("").get(), request, &response)));
  Say(context.output(), response, "added " + id + "; next: dki key add --tenant " + id);
  return absl::OkStatus();
}

absl::Status ListTenants(Context& context) {
  DKI_ASSIGN_OR_RETURN(const Connected op, Connect(context));
  api::ListTenantsResponse response;
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(op.stub->ListTenants(op.NewCall("").get(), {}, &response)));
  std::string lines;
  for (const auto& tenant : response.tenants()) lines += (lines.empty() ? "" : "\n") + tenant.id();
  Say(context.output(), response, lines);
  return absl::OkStatus();
}

absl::Status RemoveTenant(Context& context, const std::string& id) {
  DKI_ASSIGN_OR_RETURN(const Connected op, Connect(context));
  api::DeleteTenantRequest request;
  request.set_id(id);
  api::DeleteTenantResponse response;
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(op.stub->DeleteTenant(op.NewCall("").get(), request, &response)));
  Say(context.output(), response,
      "removed " + id + " and all that it owned, erasure " + response.erasure_id());
  return absl::OkStatus();
}

absl::Status AddKey(Context& context, const std::string& tenant,
                    const std::vector<std::string>& scopes, const std::string& note) {
  DKI_ASSIGN_OR_RETURN(const Connected op, Connect(context));
  api::CreateKeyRequest request;
  for (const std::string& scope : scopes) request.add_scopes(scope);
  request.set_note(note);
  api::CreateKeyResponse response;
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(op.stub->CreateKey(op.NewCall(tenant).get(), request, &response)));
  Say(context.output(), response,
      response.key().id() + "  " + Joined(response.key().scopes()) + "\n" + response.secret() +
          "\nIt is shown this once.");
  return absl::OkStatus();
}

absl::Status ListKeys(Context& context, const std::string& tenant) {
  DKI_ASSIGN_OR_RETURN(const Connected op, Connect(context));
  api::ListKeysResponse response;
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(op.stub->ListKeys(op.NewCall(tenant).get(), {}, &response)));
  if (context.output().json()) {
    context.output().Json(ToJson(response));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"id", "scopes", "state", "note"}};
  for (const auto& key : response.keys()) {
    rows.push_back(
        {key.id(), Joined(key.scopes()), key.revoked() ? "revoked" : "valid", key.note()});
  }
  context.output().Table(rows);
  return absl::OkStatus();
}

absl::Status RevokeKey(Context& context, const std::string& tenant, const std::string& id) {
  DKI_ASSIGN_OR_RETURN(const Connected op, Connect(context));
  api::RevokeKeyRequest request;
  request.set_id(id);
  api::RevokeKeyResponse response;
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(op.stub->RevokeKey(op.NewCall(tenant).get(), request, &response)));
  Say(context.output(), response, "revoked " + id);
  return absl::OkStatus();
}

}  // namespace dki::cli
