// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/memory_commands.h"

#include <google/protobuf/util/time_util.h>

#include <nlohmann/json.hpp>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/base/ids.h"
#include "libs/base/strings.h"
#include "libs/rpc/call.h"

namespace dki::cli {
namespace {

namespace api = orchestrator::v1;

constexpr size_t kShownBytes = 80;

std::string Seconds(const google::protobuf::Timestamp& time) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%S", absl::FromUnixSeconds(time.seconds()),
                          absl::UTCTimeZone());
}

std::string ScopeText(const common::v1::Scope& scope) {
  std::string text;
  const auto add = [&text](const char* name, const std::string& value) {
    if (value.empty()) return;
    if (!text.empty()) text += ' ';
    text += name + ("=" + value);
  };
  add("user", scope.user_id());
  add("session", scope.session_id());
  add("agent", scope.agent_id());
  return text.empty() ? "tenant" : text;
}

absl::Status FillInput(const MemoryOptions& options, api::MemoryInput* input) {
  options.scope.CopyTo(input->mutable_scope());
  input->set_text(options.text);
  for (const std::string& tag : options.tags) input->add_tags(tag);
  input->set_metadata_json(options.metadata_json);
  input->set_pinned(options.pin);
  input->set_priority(options.priority);
  if (options.expires.empty()) return absl::OkStatus();
  DKI_ASSIGN_OR_RETURN(const absl::Time time, ParseExpiry(options.expires, absl::Now()));
  *input->mutable_expire_time() =
      google::protobuf::util::TimeUtil::SecondsToTimestamp(absl::ToUnixSeconds(time));
  return absl::OkStatus();
}

void PrintMemory(const Output& output, const memory::v1::Memory& memory) {
  if (output.json()) return output.Json(ToJson(memory));
  std::vector<std::vector<std::string>> rows = {{"field", "value"},
                                                {"id", memory.id()},
                                                {"text", output.Safe(memory.text())},
                                                {"scope", ScopeText(memory.scope())},
                                                {"version", std::to_string(memory.version())},
                                                {"created", Seconds(memory.create_time())},
                                                {"updated", Seconds(memory.update_time())}};
  if (memory.has_expire_time()) rows.push_back({"expires", Seconds(memory.expire_time())});
  if (memory.pinned()) rows.push_back({"pinned", "yes"});
  if (memory.priority() != 0) rows.push_back({"priority", std::to_string(memory.priority())});
  for (const std::string& tag : memory.tags()) rows.push_back({"tag", tag});
  output.Table(rows);
}

}  // namespace

absl::StatusOr<absl::Time> ParseExpiry(const std::string& text, absl::Time now) {
  absl::Time time;
  std::string error;
  if (absl::ParseTime(absl::RFC3339_full, text, &time, &error)) return time;
  const std::string days =
      !text.empty() && text.back() == 'd' ? text.substr(0, text.size() - 1) : "";
  absl::Duration duration;
  if (!days.empty() && days.size() <= 5 &&
      days.find_first_not_of("0123456789") == std::string::npos) {
    return now + absl::Hours(24 * std::stoi(days));
  }
  if (absl::ParseDuration(text, &duration) && duration > absl::ZeroDuration())
    return now + duration;
  return InvalidArgument(
      "--expires is '%s', must be a time such as 2027-01-31T00:00:00Z or a duration such as 30d, "
      "12h",
      text);
}

absl::Status AddMemory(Context& context, const MemoryOptions& options) {
  api::AddMemoryRequest request;
  request.set_request_id(NewId("req_"));
  DKI_RETURN_IF_ERROR(FillInput(options, request.mutable_memory()));
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::AddMemoryResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->AddMemory(call.get(), request, &response)));
  const Output& output = context.output();
  if (output.json()) {
    output.Json(ToJson(response));
  } else {
    output.Line(response.memory().id() + (response.created() ? "" : "  (was there already)"));
  }
  return absl::OkStatus();
}

absl::Status ListMemories(Context& context, const MemoryOptions& options) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::ListMemoriesRequest request;
  options.scope.CopyTo(request.mutable_viewer());
  request.set_all(options.all);
  if (!options.tags.empty()) request.set_tag(options.tags.front());
  std::vector<memory::v1::Memory> memories;
  while (static_cast<int>(memories.size()) < options.limit) {
    request.set_page_size(std::min(1000, options.limit - static_cast<int>(memories.size())));
    api::ListMemoriesResponse page;
    const auto call = context.NewCall();
    DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->ListMemories(call.get(), request, &page)));
    memories.insert(memories.end(), page.memories().begin(), page.memories().end());
    request.set_page_token(page.next_page_token());
    if (page.next_page_token().empty()) break;
  }
  const Output& output = context.output();
  if (output.json()) {
    nlohmann::json json = nlohmann::json::array();
    for (const auto& memory : memories) json.push_back(ToJson(memory));
    output.Json({{"memories", json}, {"more", !request.page_token().empty()}});
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"id", "scope", "version", "created", "text"}};
  for (const auto& memory : memories) {
    rows.push_back({memory.id(), ScopeText(memory.scope()), std::to_string(memory.version()),
                    Seconds(memory.create_time()),
                    output.Safe(Abbreviate(FoldNewlines(memory.text()), kShownBytes))});
  }
  output.Table(rows);
  if (!request.page_token().empty()) output.Line(output.Dim("there are more: --limit N"));
  return absl::OkStatus();
}

absl::Status ShowMemory(Context& context, const MemoryOptions& options) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::GetMemoryRequest request;
  request.set_id(options.id);
  if (!options.scope.empty()) options.scope.CopyTo(request.mutable_viewer());
  api::GetMemoryResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->GetMemory(call.get(), request, &response)));
  PrintMemory(context.output(), response.memory());
  return absl::OkStatus();
}

absl::Status EditMemory(Context& context, const MemoryOptions& options) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::UpdateMemoryRequest request;
  request.set_request_id(NewId("req_"));
  request.set_id(options.id);
  if (!options.scope.empty()) options.scope.CopyTo(request.mutable_viewer());
  request.mutable_update_mask()->add_paths("text");
  DKI_RETURN_IF_ERROR(FillInput(options, request.mutable_memory()));
  api::UpdateMemoryResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->UpdateMemory(call.get(), request, &response)));
  PrintMemory(context.output(), response.memory());
  return absl::OkStatus();
}

absl::Status ShowHistory(Context& context, const MemoryOptions& options) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::ListMemoryVersionsRequest request;
  request.set_id(options.id);
  if (!options.scope.empty()) options.scope.CopyTo(request.mutable_viewer());
  api::ListMemoryVersionsResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(
      rpc::FromGrpcStatus(stub->ListMemoryVersions(call.get(), request, &response)));
  const Output& output = context.output();
  if (output.json()) {
    output.Json(ToJson(response));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"version", "time", "text"}};
  for (const auto& version : response.versions()) {
    rows.push_back({std::to_string(version.version()), Seconds(version.time()),
                    output.Safe(Abbreviate(FoldNewlines(version.text()), kShownBytes))});
  }
  output.Table(rows);
  return absl::OkStatus();
}

absl::Status RemoveMemory(Context& context, const MemoryOptions& options) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::DeleteMemoryRequest request;
  request.set_request_id(NewId("req_"));
  request.set_id(options.id);
  if (!options.scope.empty()) options.scope.CopyTo(request.mutable_viewer());
  api::DeleteMemoryResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->DeleteMemory(call.get(), request, &response)));
  if (context.output().json()) {
    context.output().Json(ToJson(response));
  } else {
    context.output().Line("removed " + options.id + ", erasure " + response.erasure_id());
  }
  return absl::OkStatus();
}

absl::Status SearchMemories(Context& context, const MemoryOptions& options) {
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  api::SearchMemoriesRequest request;
  request.set_query(options.text);
  options.scope.CopyTo(request.mutable_scope());
  request.set_k(options.k);
  if (options.threshold) request.set_threshold(*options.threshold);
  if (!options.tags.empty()) request.set_tag(options.tags.front());
  api::SearchMemoriesResponse response;
  const auto call = context.NewCall();
  DKI_RETURN_IF_ERROR(rpc::FromGrpcStatus(stub->SearchMemories(call.get(), request, &response)));
  const Output& output = context.output();
  if (output.json()) {
    output.Json(ToJson(response));
    return absl::OkStatus();
  }
  std::vector<std::vector<std::string>> rows = {{"cosine", "id", "text"}};
  for (const auto& hit : response.hits()) {
    rows.push_back({absl::StrFormat("%.3f", hit.cosine()), hit.memory().id(),
                    output.Safe(Abbreviate(FoldNewlines(hit.memory().text()), kShownBytes))});
  }
  output.Table(rows);
  return absl::OkStatus();
}

}  // namespace dki::cli
