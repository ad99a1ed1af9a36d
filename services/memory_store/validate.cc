// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/validate.h"

#include <google/protobuf/util/json_util.h>

#include <cmath>
#include <cstring>
#include <string>
#include <string_view>

#include "libs/base/strings.h"
#include "services/memory_store/field_checks.h"
#include "services/memory_store/memory_rules.h"

namespace dki::memory_store {
namespace {

namespace v1 = ::dki::memory::v1;

constexpr size_t kMaxTextBytes = 8192;
constexpr size_t kMaxMetadataBytes = 8192;
constexpr size_t kMaxScopeBytes = 256;
constexpr size_t kMaxTagBytes = 64;
constexpr size_t kMaxIdBytes = 128;
constexpr size_t kMaxMessageBytes = 262144;
constexpr size_t kMaxServiceBytes = 64;
constexpr size_t kPublicKeyBytes = 32;
constexpr int kMaxTags = 32;
constexpr int kMaxAppended = 1000;
constexpr int kMaxDimension = 8192;
constexpr int kMaxPriority = 100;

absl::Status CheckRequestId(const std::string& id) {
  return CheckString("request_id", id, 1, kMaxIdBytes);
}
absl::Status CheckId(const std::string& field, const std::string& id) {
  return CheckString(field, id, 1, kMaxIdBytes);
}

absl::Status CheckScope(const std::string& field, const common::v1::Scope& scope) {
  DKI_RETURN_IF_ERROR(CheckString(field + ".user_id", scope.user_id(), 0, kMaxScopeBytes));
  DKI_RETURN_IF_ERROR(CheckString(field + ".session_id", scope.session_id(), 0, kMaxScopeBytes));
  return CheckString(field + ".agent_id", scope.agent_id(), 0, kMaxScopeBytes);
}

absl::Status CheckText(const std::string& field, const std::string& text) {
  DKI_RETURN_IF_ERROR(CheckString(field, text, 1, kMaxTextBytes));
  if (Trim(text).empty()) return InvalidArgument("%s: only white space", field);
  return absl::OkStatus();
}

absl::Status CheckTags(const std::string& field,
                       const google::protobuf::RepeatedPtrField<std::string>& tags) {
  if (tags.size() > kMaxTags) {
    return InvalidArgument("%s: %d tags, must be at most %d", field, tags.size(), kMaxTags);
  }
  for (int i = 0; i < tags.size(); ++i) {
    DKI_RETURN_IF_ERROR(CheckString(absl::StrFormat("%s[%d]", field, i), tags[i], 1, kMaxTagBytes));
  }
  return absl::OkStatus();
}

absl::Status CheckMetadata(const std::string& field, const std::string& json) {
  if (json.empty()) return absl::OkStatus();
  DKI_RETURN_IF_ERROR(CheckString(field, json, 0, kMaxMetadataBytes));
  google::protobuf::Struct object;
  const auto parsed = google::protobuf::util::JsonStringToMessage(json, &object);
  if (!parsed.ok()) {
    return InvalidArgument("%s: not a JSON object: %s", field,
                           std::string_view(parsed.message().data(), parsed.message().size()));
  }
  return absl::OkStatus();
}

absl::Status CheckExpiry(const std::string& field, const google::protobuf::Timestamp& time,
                         absl::Time now) {
  constexpr int64_t kLastSecond = 253402300799;  // end of year 9999
  DKI_RETURN_IF_ERROR(CheckRange(field + ".nanos", time.nanos(), 0, 999'999'999));
  DKI_RETURN_IF_ERROR(CheckRange(field + ".seconds", time.seconds(), 0, kLastSecond));
  if (ToMicros(time) <= absl::ToUnixMicros(now)) return InvalidArgument("%s: in the past", field);
  return absl::OkStatus();
}

absl::Status CheckVector(const std::string& field, const v1::Vector& vector) {
  DKI_RETURN_IF_ERROR(
      CheckString(field + ".embedding_fingerprint", vector.embedding_fingerprint(), 1, 256));
  const std::string& bytes = vector.values();
  if (bytes.empty() || bytes.size() % sizeof(float) != 0 ||
      bytes.size() / sizeof(float) > kMaxDimension) {
    return InvalidArgument("%s.values: %d bytes, must be 4 per dimension, 1 to %d dimensions",
                           field, bytes.size(), kMaxDimension);
  }
  double norm = 0;
  for (size_t i = 0; i < bytes.size(); i += sizeof(float)) {
    float value;  // the machine is little-endian
    std::memcpy(&value, bytes.data() + i, sizeof(float));
    norm += static_cast<double>(value) * value;
  }
  norm = std::sqrt(norm);
  // Written so that NaN fails.
  if (!(std::abs(norm - 1.0) <= 1e-3)) {
    return InvalidArgument("%s.values: length %g, must be 1 within 0.001", field, norm);
  }
  return absl::OkStatus();
}

absl::Status CheckNewMemory(const std::string& field, const v1::NewMemory& memory, absl::Time now) {
  DKI_RETURN_IF_ERROR(CheckScope(field + ".scope", memory.scope()));
  DKI_RETURN_IF_ERROR(CheckText(field + ".text", memory.text()));
  DKI_RETURN_IF_ERROR(CheckTags(field + ".tags", memory.tags()));
  if (memory.has_expire_time()) {
    DKI_RETURN_IF_ERROR(CheckExpiry(field + ".expire_time", memory.expire_time(), now));
  }
  DKI_RETURN_IF_ERROR(
      CheckRange(field + ".priority", memory.priority(), -kMaxPriority, kMaxPriority));
  DKI_RETURN_IF_ERROR(CheckMetadata(field + ".metadata_json", memory.metadata_json()));
  if (!common::v1::SourceClass_IsValid(memory.source_class())) {
    return InvalidArgument("%s.source_class: %d is unknown", field, memory.source_class());
  }
  return CheckVector(field + ".vector", memory.vector());
}

}  // namespace

absl::Status Validate(const v1::CreateMemoryRequest& request, absl::Time now) {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  return CheckNewMemory("memory", request.memory(), now);
}

absl::Status Validate(const v1::BatchCreateMemoriesRequest& request, absl::Time now) {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  if (request.memories_size() < 1 || request.memories_size() > kMaxBatch) {
    return InvalidArgument("memories: %d, must be 1 to %d", request.memories_size(), kMaxBatch);
  }
  for (int i = 0; i < request.memories_size(); ++i) {
    DKI_RETURN_IF_ERROR(
        CheckNewMemory(absl::StrFormat("memories[%d]", i), request.memories(i), now));
  }
  return absl::OkStatus();
}

absl::Status Validate(const v1::UpdateMemoryRequest& request, absl::Time now) {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckId("id", request.id()));
  DKI_RETURN_IF_ERROR(CheckScope("viewer", request.viewer()));
  DKI_RETURN_IF_ERROR(CheckRange("expected_version", request.expected_version(), 0, INT64_MAX));
  const v1::NewMemory& memory = request.memory();
  if (request.update_mask().paths().empty()) {
    return InvalidArgument("update_mask: must name at least one field");
  }
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "text") {
      DKI_RETURN_IF_ERROR(CheckText("memory.text", memory.text()));
      DKI_RETURN_IF_ERROR(CheckVector("memory.vector", memory.vector()));
    } else if (path == "tags") {
      DKI_RETURN_IF_ERROR(CheckTags("memory.tags", memory.tags()));
    } else if (path == "metadata") {
      DKI_RETURN_IF_ERROR(CheckMetadata("memory.metadata_json", memory.metadata_json()));
    } else if (path == "expire_time") {
      if (memory.has_expire_time()) {
        DKI_RETURN_IF_ERROR(CheckExpiry("memory.expire_time", memory.expire_time(), now));
      }
    } else if (path == "priority") {
      DKI_RETURN_IF_ERROR(
          CheckRange("memory.priority", memory.priority(), -kMaxPriority, kMaxPriority));
    } else if (path != "pinned") {
      return InvalidArgument(
          "update_mask: %s is none of text, tags, metadata, expire_time, pinned, priority",
          Abbreviate(path, 64));
    }
  }
  return absl::OkStatus();
}

absl::Status Validate(const v1::BatchGetMemoriesRequest& request) {
  if (request.ids_size() > kMaxBatch) {
    return InvalidArgument("ids: %d, must be at most %d", request.ids_size(), kMaxBatch);
  }
  for (int i = 0; i < request.ids_size(); ++i) {
    DKI_RETURN_IF_ERROR(CheckId(absl::StrFormat("ids[%d]", i), request.ids(i)));
  }
  return CheckScope("viewer", request.viewer());
}

absl::Status Validate(const v1::ListMemoriesRequest& request) {
  DKI_RETURN_IF_ERROR(CheckRange("page_size", request.page_size(), 0, kMaxPageSize));
  DKI_RETURN_IF_ERROR(CheckString("tag", request.tag(), 0, kMaxTagBytes));
  return CheckScope("viewer", request.viewer());
}

absl::Status Validate(const v1::ListMemoryVersionsRequest& request) {
  DKI_RETURN_IF_ERROR(CheckId("id", request.id()));
  return CheckScope("viewer", request.viewer());
}

absl::Status Validate(const v1::DeleteMemoryRequest& request) {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckId("id", request.id()));
  return CheckScope("viewer", request.viewer());
}

absl::Status Validate(const v1::EraseScopeRequest& request) {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  if (IsShared(request.scope())) {
    return InvalidArgument("scope: must set at least one of user_id, session_id, agent_id");
  }
  return CheckScope("scope", request.scope());
}

absl::Status Validate(const v1::FollowFeedRequest& request) {
  DKI_RETURN_IF_ERROR(CheckString("service", request.service(), 0, kMaxServiceBytes));
  if (!request.service().empty() && request.public_key().size() != kPublicKeyBytes) {
    return InvalidArgument("public_key: %d bytes, must be %d", request.public_key().size(),
                           kPublicKeyBytes);
  }
  for (int i = 0; i < request.starts_size(); ++i) {
    const std::string field = absl::StrFormat("starts[%d]", i);
    DKI_RETURN_IF_ERROR(CheckId(field + ".tenant_id", request.starts(i).tenant_id()));
    DKI_RETURN_IF_ERROR(
        CheckRange(field + ".after_position", request.starts(i).after_position(), 0, INT64_MAX));
  }
  return absl::OkStatus();
}

absl::Status Validate(const v1::CreateConversationRequest& request) {
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  return CheckScope("scope", request.scope());
}

absl::Status Validate(const v1::AppendMessagesRequest& request) {
  DKI_RETURN_IF_ERROR(CheckString("decision_id", request.decision_id(), 0, kMaxIdBytes));
  DKI_RETURN_IF_ERROR(CheckRequestId(request.request_id()));
  DKI_RETURN_IF_ERROR(CheckId("conversation_id", request.conversation_id()));
  DKI_RETURN_IF_ERROR(CheckScope("viewer", request.viewer()));
  if (request.messages_size() < 1 || request.messages_size() > kMaxAppended) {
    return InvalidArgument("messages: %d, must be 1 to %d", request.messages_size(), kMaxAppended);
  }
  for (int i = 0; i < request.messages_size(); ++i) {
    const std::string field = absl::StrFormat("messages[%d]", i);
    const std::string& role = request.messages(i).role();
    if (role != "system" && role != "user" && role != "assistant") {
      return InvalidArgument("%s.role: must be system, user or assistant", field);
    }
    DKI_RETURN_IF_ERROR(
        CheckString(field + ".content", request.messages(i).content(), 0, kMaxMessageBytes));
  }
  return absl::OkStatus();
}

absl::Status Validate(const v1::ListMessagesRequest& request) {
  DKI_RETURN_IF_ERROR(CheckId("conversation_id", request.conversation_id()));
  DKI_RETURN_IF_ERROR(CheckScope("viewer", request.viewer()));
  return CheckRange("limit", request.limit(), 0, kMaxListedMessages);
}

absl::Status Validate(const v1::DeleteConversationRequest& request) {
  DKI_RETURN_IF_ERROR(CheckId("conversation_id", request.conversation_id()));
  return CheckScope("viewer", request.viewer());
}

}  // namespace dki::memory_store
