// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/erase_commands.h"

#include <unistd.h>

#include <functional>
#include <nlohmann/json.hpp>

#include "absl/time/time.h"
#include "dki/erasure/v1/erasure_service.grpc.pb.h"
#include "dki/tenant/v1/tenant_service.grpc.pb.h"
#include "libs/base/file.h"
#include "libs/erasure/receipt.h"
#include "tools/dki/cluster/scrub.h"
#include "tools/dki/operator.h"

namespace dki::cli {
namespace {

namespace api = orchestrator::v1;
using erasure::v1::GetErasureResponse;

// Asks the cluster once.
using Fetch = std::function<absl::StatusOr<GetErasureResponse>()>;

std::string Time(const google::protobuf::Timestamp& time, bool is_set) {
  if (!is_set) return "-";
  return absl::FormatTime("%Y-%m-%d %H:%M:%E3S",
                          absl::FromUnixSeconds(time.seconds()) + absl::Nanoseconds(time.nanos()),
                          absl::UTCTimeZone());
}

template <typename Strings>
std::string Joined(const Strings& strings, const char* separator) {
  std::string text;
  for (const std::string& string : strings) text += (text.empty() ? "" : separator) + string;
  return text;
}

std::string TargetText(const erasure::v1::ErasureStatement& statement) {
  const auto& target = statement.target();
  std::string text = "tenant " + statement.tenant_id();
  if (!target.memory_id().empty()) text = "memory " + target.memory_id();
  if (target.has_scope()) {
    text.clear();
    for (const auto& [name, value] : {std::pair("user", target.scope().user_id()),
                                      std::pair("session", target.scope().session_id()),
                                      std::pair("agent", target.scope().agent_id())}) {
      if (!value.empty()) text += (text.empty() ? "" : ", ") + (name + (" " + value));
    }
  }
  return text + (target.with_conversations() ? ", with conversations" : "");
}

Fetch FetchAsClient(Context& context, const std::string& id) {
  return [&context, id]() -> absl::StatusOr<GetErasureResponse> {
    DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
    api::GetErasureRequest request;
    request.set_id(id);
    api::GetErasureResponse response;
    const auto call = context.NewCall();
    DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->GetErasure(call.get(), request, &response)));
    return std::move(*response.mutable_result());
  };
}

// A tenant that is gone has no keys.
Fetch FetchAsOperator(Context& context, const std::string& id) {
  return [&context, id]() -> absl::StatusOr<GetErasureResponse> {
    DKI_ASSIGN_OR_RETURN(const Operator op, ConnectAsOperator(context));
    erasure::v1::GetErasureRequest request;
    request.set_id(id);
    GetErasureResponse response;
    DKI_RETURN_IF_ERROR(
        rpc::FromGrpcStatus(erasure::v1::ErasureService::NewStub(op.memory_store)
                                ->GetErasure(op.NewCall("").get(), request, &response)));
    return response;
  };
}

// Waits until every service has reported.
absl::StatusOr<erasure::v1::Receipt> AwaitReceipt(const Output& output, const Fetch& fetch,
                                                  const EraseOptions& options) {
  const auto deadline =
      std::chrono::steady_clock::now() + std::chrono::seconds(options.timeout_seconds);
  while (true) {
    const auto fetched = fetch();
    if (!fetched.ok() && !absl::IsUnavailable(fetched.status())) return fetched.status();
    if (fetched.ok() && fetched->has_receipt()) {
      output.Progress("");
      return fetched->receipt();
    }
    const std::string missing =
        fetched.ok() ? Joined(fetched->erasure().missing(), ", ") : std::string("the cluster");
    output.Progress("waiting for " + missing);
    if (std::chrono::steady_clock::now() > deadline) {
      output.Progress("");
      return DeadlineExceeded("erased everywhere but for the report of: %s", missing);
    }
    ::usleep(300'000);
  }
}

absl::Status WriteReceipt(const erasure::v1::Receipt& receipt, const std::string& path) {
  return path.empty() ? absl::OkStatus()
                      : WriteFileAtomically(path, erasure::RenderReceipt(receipt));
}

struct Acknowledged {
  nlohmann::json json;
  std::string erasure_id;
  std::vector<std::string> conversations;
};

absl::StatusOr<Acknowledged> EraseMemory(Context& context, const EraseOptions& options) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::DeleteMemoryRequest request;
  request.set_request_id(NewId("req_"));
  request.set_id(options.id);
  request.set_with_conversations(options.with_conversations);
  if (!options.viewer.empty()) options.viewer.CopyTo(request.mutable_viewer());
  api::DeleteMemoryResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->DeleteMemory(call.get(), request, &response)));
  const auto& ids = response.conversation_ids();
  return Acknowledged{ToJson(response), response.erasure_id(), {ids.begin(), ids.end()}};
}

absl::StatusOr<Acknowledged> EraseScope(Context& context, const EraseOptions& options) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::EraseScopeRequest request;
  request.set_request_id(NewId("req_"));
  request.set_with_conversations(options.with_conversations);
  common::v1::Scope* scope = request.mutable_scope();
  if (options.kind == EraseTarget::kUser) scope->set_user_id(options.id);
  if (options.kind == EraseTarget::kSession) scope->set_session_id(options.id);
  if (options.kind == EraseTarget::kAgent) scope->set_agent_id(options.id);
  api::EraseScopeResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->EraseScope(call.get(), request, &response)));
  const auto& ids = response.conversation_ids();
  return Acknowledged{ToJson(response), response.erasure_id(), {ids.begin(), ids.end()}};
}

absl::StatusOr<Acknowledged> EraseTenant(Context& context, const EraseOptions& options) {
  DKI_ASSIGN_OR_RETURN(const Operator op, ConnectAsOperator(context));
  tenant::v1::DeleteTenantRequest request;
  request.set_id(options.id);
  tenant::v1::DeleteTenantResponse response;
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(tenant::v1::TenantService::NewStub(op.memory_store)
                              ->DeleteTenant(op.NewCall("").get(), request, &response)));
  return Acknowledged{ToJson(response), response.erasure_id(), {}};
}

void PrintVerified(const Output& output, const erasure::VerifiedReceipt& receipt) {
  const auto& statement = receipt.statement;
  std::vector<std::vector<std::string>> rows = {
      {"service", "store", "items", "unusable since", "gone since"}};
  const auto add = [&rows](const std::string& service, const auto& stores) {
    for (const erasure::v1::ErasedItems& store : stores) {
      rows.push_back({service, store.store(), std::to_string(store.items()),
                      Time(store.unreachable_time(), store.has_unreachable_time()),
                      Time(store.gone_time(), store.has_gone_time())});
    }
  };
  add(erasure::kStore, statement.stores());
  for (const erasure::v1::ServiceReport& report : receipt.reports) {
    add(report.service(), report.stores());
  }
  output.Line(output.Green("valid") + ": " + output.Safe(TargetText(statement)) + ", erasure " +
              statement.erasure_id() + ", acknowledged " + Time(statement.time(), true) + " UTC");
  output.Table(rows);
}

nlohmann::json ToJson(const erasure::VerifiedReceipt& receipt) {
  nlohmann::json reports = nlohmann::json::array();
  for (const auto& report : receipt.reports) reports.push_back(cli::ToJson(report));
  return {{"valid", true}, {"statement", cli::ToJson(receipt.statement)}, {"reports", reports}};
}

}  // namespace

absl::Status Erase(Context& context, const EraseOptions& options) {
  const bool is_tenant = options.kind == EraseTarget::kTenant;
  const bool is_memory = options.kind == EraseTarget::kMemory;
  DKI_ASSIGN_OR_RETURN(Acknowledged done, is_tenant   ? EraseTenant(context, options)
                                          : is_memory ? EraseMemory(context, options)
                                                      : EraseScope(context, options));
  const Output& output = context.output();
  if (!output.json()) {
    output.Line("erased: nothing of it can be used any more; erasure " + done.erasure_id);
    if (!done.conversations.empty()) {
      output.Line("conversations that attended to it" +
                  std::string(options.with_conversations ? " (erased): " : ": ") +
                  Joined(done.conversations, " "));
    }
  }
  if (options.wait || !options.receipt.empty()) {
    const Fetch fetch = is_tenant ? FetchAsOperator(context, done.erasure_id)
                                  : FetchAsClient(context, done.erasure_id);
    DKI_ASSIGN_OR_RETURN(const erasure::v1::Receipt receipt, AwaitReceipt(output, fetch, options));
    DKI_RETURN_IF_ERROR(WriteReceipt(receipt, options.receipt));
    done.json["receipt"] = options.receipt;
    if (!output.json()) {
      output.Line("every service has reported" +
                  (options.receipt.empty() ? "" : "; receipt in " + options.receipt));
    }
  }
  if (output.json()) output.Json(done.json);
  return absl::OkStatus();
}

absl::Status EraseStatus(Context& context, const EraseOptions& options) {
  auto fetched = FetchAsClient(context, options.id)();
  // Another tenant's, or one of a tenant that is gone: the operator may look.
  if (absl::IsNotFound(fetched.status())) fetched = FetchAsOperator(context, options.id)();
  DKI_RETURN_IF_ERROR(fetched.status());
  const Output& output = context.output();
  if (output.json()) {
    output.Json(cli::ToJson(fetched->erasure()));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"service", "report"}};
  for (const std::string& name : fetched->erasure().reported()) rows.push_back({name, "there"});
  for (const std::string& name : fetched->erasure().missing()) rows.push_back({name, "missing"});
  output.Table(rows);
  return absl::OkStatus();
}

absl::Status EraseReceipt(Context& context, const EraseOptions& options) {
  Fetch fetch = FetchAsClient(context, options.id);
  if (absl::IsNotFound(fetch().status())) fetch = FetchAsOperator(context, options.id);
  DKI_ASSIGN_OR_RETURN(const erasure::v1::Receipt receipt,
                       AwaitReceipt(context.output(), fetch, options));
  DKI_RETURN_IF_ERROR(WriteReceipt(receipt, options.receipt));
  if (context.output().json()) {
    context.output().Json({{"receipt", options.receipt}});
  } else {
    context.output().Line("receipt in " + options.receipt);
  }
  return absl::OkStatus();
}

absl::Status EraseVerify(Context& context, const EraseOptions& options) {
  std::string keyring = options.keyring;
  if (keyring.empty()) {
    DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, context.layout());
    keyring = layout.keyring();
  }
  DKI_ASSIGN_OR_RETURN(const std::string keys_text, ReadFile(keyring));
  const auto keys = erasure::ParseKeyring(keys_text);
  if (!keys.ok()) return Annotate(keys.status(), keyring);
  DKI_ASSIGN_OR_RETURN(const std::string text, ReadFile(options.receipt));
  DKI_ASSIGN_OR_RETURN(const erasure::v1::Receipt receipt, erasure::ParseReceipt(text));
  DKI_ASSIGN_OR_RETURN(const erasure::VerifiedReceipt verified, erasure::Verify(receipt, *keys));
  if (context.output().json()) {
    context.output().Json(ToJson(verified));
  } else {
    PrintVerified(context.output(), verified);
  }
  return absl::OkStatus();
}

absl::Status EraseKeys(Context& context) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::ListErasureKeysResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->ListErasureKeys(call.get(), {}, &response)));
  const auto& keys = response.result().keys();
  context.output().Write(erasure::RenderKeyring({keys.begin(), keys.end()}));
  return absl::OkStatus();
}

absl::Status EraseScrub(Context& context) {
  DKI_ASSIGN_OR_RETURN(const cluster::Layout layout, context.layout());
  const Output& output = context.output();
  DKI_RETURN_IF_ERROR(cluster::ScrubPostgres(
      layout, [&](const std::string& step) { output.Progress("scrubbing: " + step); }));
  output.Progress("");
  if (output.json()) {
    output.Json({{"scrubbed", true}});
  } else {
    output.Line("scrubbed: no deleted row is left in the database's files");
  }
  return absl::OkStatus();
}

absl::Status EraseForgetService(Context& context, const EraseOptions& options) {
  DKI_ASSIGN_OR_RETURN(const Operator op, ConnectAsOperator(context));
  erasure::v1::RemoveFollowerRequest request;
  request.set_service(options.id);
  erasure::v1::RemoveFollowerResponse response;
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(erasure::v1::ErasureService::NewStub(op.memory_store)
                              ->RemoveFollower(op.NewCall("").get(), request, &response)));
  if (context.output().json()) {
    context.output().Json({{"forgotten", options.id}});
  } else {
    context.output().Line("no report is expected of " + options.id + " any more");
  }
  return absl::OkStatus();
}

}  // namespace dki::cli
