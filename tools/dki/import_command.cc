// SPDX-License-Identifier: Apache-2.0
// `dki memory import FILE`: JSON Lines, or one text per line. Batches carry ids made from their
// content, so that a repeated import changes nothing.
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/base/sha256.h"
#include "libs/base/strings.h"
#include "libs/rpc/call.h"
#include "tools/dki/memory_commands.h"

namespace dki::cli {
namespace {

namespace api = orchestrator::v1;

constexpr int kBatch = 200;

absl::Status LineError(int line, const std::string& what) {
  return InvalidArgument("line %d: %s", line, what);
}

// A field that is not understood may have been meant to say whose the memory is: not ignored.
absl::Status CheckFields(const nlohmann::json& object, const std::set<std::string>& known,
                         int line) {
  for (const auto& [name, value] : object.items()) {
    if (known.count(name) > 0) continue;
    std::string names;
    for (const std::string& k : known) names += (names.empty() ? "" : ", ") + k;
    return LineError(line, absl::StrFormat("unknown field \"%s\" (known: %s)", name, names));
  }
  return absl::OkStatus();
}

// One memory from a JSON object; fields that it does not have come from the command line.
absl::Status FillFromJson(const nlohmann::json& json, int line, api::MemoryInput* input) {
  DKI_RETURN_IF_ERROR(CheckFields(json,
                                  {"text", "scope", "user", "session", "agent", "tags", "metadata",
                                   "pinned", "priority", "expires"},
                                  line));
  if (!json.contains("text") || !json["text"].is_string())
    return LineError(line, "\"text\" is missing or not a string");
  input->set_text(json["text"].get<std::string>());
  const auto copy = [&](const nlohmann::json& from, const char* name,
                        std::string* to) -> absl::Status {
    if (!from.contains(name)) return absl::OkStatus();
    if (!from[name].is_string())
      return LineError(line, absl::StrFormat("\"%s\" is not a string", name));
    *to = from[name].get<std::string>();
    return absl::OkStatus();
  };
  const nlohmann::json scope = json.contains("scope") ? json["scope"] : json;
  if (!scope.is_object()) return LineError(line, "\"scope\" is not an object");
  if (json.contains("scope"))
    DKI_RETURN_IF_ERROR(CheckFields(scope, {"user", "session", "agent"}, line));
  DKI_RETURN_IF_ERROR(copy(scope, "user", input->mutable_scope()->mutable_user_id()));
  DKI_RETURN_IF_ERROR(copy(scope, "session", input->mutable_scope()->mutable_session_id()));
  DKI_RETURN_IF_ERROR(copy(scope, "agent", input->mutable_scope()->mutable_agent_id()));
  const nlohmann::json tags = json.value("tags", nlohmann::json::array());
  if (!tags.is_array()) return LineError(line, "\"tags\" is not a list");
  for (const auto& tag : tags) {
    if (!tag.is_string()) return LineError(line, "a tag is not a string");
    input->add_tags(tag.get<std::string>());
  }
  if (json.contains("metadata")) input->set_metadata_json(json["metadata"].dump());
  const nlohmann::json pinned = json.value("pinned", nlohmann::json(false));
  if (!pinned.is_boolean()) return LineError(line, "\"pinned\" is not true or false");
  input->set_pinned(pinned.get<bool>());
  const nlohmann::json priority = json.value("priority", nlohmann::json(0));
  if (!priority.is_number_integer()) return LineError(line, "\"priority\" is not an integer");
  input->set_priority(priority.get<int>());
  std::string expires;
  DKI_RETURN_IF_ERROR(copy(json, "expires", &expires));
  if (!expires.empty()) {
    const auto time = ParseExpiry(expires, absl::Now());
    if (!time.ok()) return LineError(line, std::string(ToStd(time.status().message())));
    input->mutable_expire_time()->set_seconds(absl::ToUnixSeconds(*time));
  }
  return absl::OkStatus();
}

absl::StatusOr<std::vector<api::MemoryInput>> ReadMemories(std::istream& in,
                                                           const MemoryOptions& options) {
  std::vector<api::MemoryInput> memories;
  std::string text;
  for (int line = 1; std::getline(in, text); ++line) {
    const std::string_view trimmed = Trim(text);
    if (trimmed.empty()) continue;
    api::MemoryInput input;
    options.scope.CopyTo(input.mutable_scope());
    for (const std::string& tag : options.tags) input.add_tags(tag);
    if (trimmed.front() == '{') {
      const nlohmann::json json =
          nlohmann::json::parse(trimmed, nullptr, /*allow_exceptions=*/false);
      if (!json.is_object()) return LineError(line, "not a JSON object");
      DKI_RETURN_IF_ERROR(FillFromJson(json, line, &input));
    } else {
      input.set_text(std::string(trimmed));
    }
    memories.push_back(std::move(input));
  }
  return memories;
}

}  // namespace

absl::Status ImportMemories(Context& context, const MemoryOptions& options) {
  std::ifstream file;
  if (options.file != "-") {
    file.open(options.file);
    if (!file) return InvalidArgument("cannot open %s", options.file);
  }
  DKI_ASSIGN_OR_RETURN(const std::vector<api::MemoryInput> memories,
                       ReadMemories(options.file == "-" ? std::cin : file, options));
  DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
  const Output& output = context.output();
  const absl::Time start = absl::Now();
  int created = 0;
  int64_t position = 0;
  for (size_t at = 0; at < memories.size(); at += kBatch) {
    api::AddMemoriesRequest request;
    const size_t end = std::min(memories.size(), at + kBatch);
    for (size_t i = at; i < end; ++i) *request.add_memories() = memories[i];
    request.set_request_id("import_" + Sha256Hex(request.SerializeAsString()).substr(0, 40));
    api::AddMemoriesResponse response;
    const auto call = context.NewCall(std::chrono::seconds(120));
    const absl::Status status =
        rpc::FromGrpcStatus(stub->AddMemories(call.get(), request, &response));
    if (!status.ok()) {
      output.Progress("");
      return Annotate(status, absl::StrFormat("memories %d to %d of %d (those before are stored)",
                                              at + 1, end, memories.size()));
    }
    for (const auto& result : response.results()) {
      created += result.created() ? 1 : 0;
      position = std::max(position, result.position());
    }
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
    const double share = static_cast<double>(end) / memories.size();
    output.Progress(absl::StrFormat(
        "[%-30s] %d of %d, %.0f/s, %.0f s left", std::string(static_cast<size_t>(30 * share), '#'),
        end, memories.size(), end / std::max(seconds, 1e-3), seconds * (1 - share) / share));
  }
  output.Progress("");
  if (output.json()) {
    output.Json({{"read", memories.size()}, {"created", created}, {"position", position}});
  } else {
    output.Line(absl::StrFormat("%d memories read, %d new", memories.size(), created));
  }
  return absl::OkStatus();
}

}  // namespace dki::cli
