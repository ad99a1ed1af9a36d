// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/memory_rules.h"

#include <google/protobuf/util/json_util.h>

#include <algorithm>

#include "libs/base/check.h"
#include "libs/base/sha256.h"

namespace dki::memory_store {

namespace v1 = ::dki::memory::v1;
using common::v1::Scope;

namespace {

// REQUIRES: `json` is a JSON object or empty (validate.h).
void SetMetadata(const std::string& json, v1::Memory* memory) {
  memory->clear_metadata();
  if (json.empty()) return;
  DKI_CHECK(google::protobuf::util::JsonStringToMessage(json, memory->mutable_metadata()).ok());
}

void SetExpiry(const v1::NewMemory& written, v1::Memory* memory) {
  memory->clear_expire_time();
  if (written.has_expire_time()) {
    *memory->mutable_expire_time() = FromMicros(ToMicros(written.expire_time()));
  }
}

void SetText(const std::string& text, v1::Memory* memory) {
  memory->set_text(text);
  memory->set_content_hash(Sha256Hex(text));
}

}  // namespace

bool IsVisible(const Scope& scope, const Scope& viewer) {
  return IsWithin(viewer, scope);
}

bool IsShared(const Scope& scope) {
  return scope.user_id().empty() && scope.session_id().empty() && scope.agent_id().empty();
}

bool IsWithin(const Scope& scope, const Scope& filter) {
  const auto matches = [](const std::string& value, const std::string& wanted) {
    return wanted.empty() || wanted == value;
  };
  return matches(scope.user_id(), filter.user_id()) &&
         matches(scope.session_id(), filter.session_id()) &&
         matches(scope.agent_id(), filter.agent_id());
}

v1::Memory MakeMemory(const v1::NewMemory& written) {
  v1::Memory memory;
  *memory.mutable_scope() = written.scope();
  SetText(written.text(), &memory);
  *memory.mutable_tags() = written.tags();
  SetMetadata(written.metadata_json(), &memory);
  memory.set_source_class(written.source_class());
  memory.set_pinned(written.pinned());
  memory.set_priority(written.priority());
  SetExpiry(written, &memory);
  memory.set_version(1);
  return memory;
}

void ApplyUpdate(const v1::UpdateMemoryRequest& request, v1::Memory* memory) {
  const v1::NewMemory& written = request.memory();
  for (const std::string& path : request.update_mask().paths()) {
    if (path == "text") SetText(written.text(), memory);
    if (path == "tags") *memory->mutable_tags() = written.tags();
    if (path == "metadata") SetMetadata(written.metadata_json(), memory);
    if (path == "expire_time") SetExpiry(written, memory);
    if (path == "pinned") memory->set_pinned(written.pinned());
    if (path == "priority") memory->set_priority(written.priority());
  }
  memory->set_version(memory->version() + 1);
}

bool Names(const google::protobuf::FieldMask& mask, const std::string& path) {
  return std::find(mask.paths().begin(), mask.paths().end(), path) != mask.paths().end();
}

int64_t ToMicros(const google::protobuf::Timestamp& time) {
  return time.seconds() * 1'000'000 + time.nanos() / 1000;
}

google::protobuf::Timestamp FromMicros(int64_t micros) {
  google::protobuf::Timestamp time;
  int64_t seconds = micros / 1'000'000;
  if (micros % 1'000'000 < 0) --seconds;
  time.set_seconds(seconds);
  time.set_nanos(static_cast<int>(micros - seconds * 1'000'000) * 1000);
  return time;
}

std::string RequestHash(const google::protobuf::Message& request) {
  // No request has a map, so the serialization is deterministic.
  const auto hash = [](const google::protobuf::Message& message) {
    return Sha256Hex(message.GetTypeName() + "\n" + message.SerializeAsString());
  };
  if (const auto* batch = dynamic_cast<const v1::BatchCreateMemoriesRequest*>(&request)) {
    v1::BatchCreateMemoriesRequest copy = *batch;
    for (v1::NewMemory& memory : *copy.mutable_memories()) memory.clear_vector();
    return hash(copy);
  }
  if (const auto* update = dynamic_cast<const v1::UpdateMemoryRequest*>(&request)) {
    v1::UpdateMemoryRequest copy = *update;
    copy.mutable_memory()->clear_vector();
    return hash(copy);
  }
  return hash(request);
}

std::string PageBinding(const std::string& tenant_id, const v1::ListMemoriesRequest& request) {
  v1::ListMemoriesRequest list = request;
  list.clear_page_size();
  list.clear_page_token();
  return std::to_string(tenant_id.size()) + ":" + tenant_id + list.SerializeAsString();
}

absl::Status MemoryNotFound(const std::string& id) {
  return NotFound("memory %s", id);
}
absl::Status ConversationNotFound(const std::string& id) {
  return NotFound("conversation %s", id);
}
absl::Status TenantNotFound(const std::string& tenant_id) {
  return NotFound("tenant %s has been deleted", tenant_id);
}
absl::Status RequestIdReused(const std::string& request_id) {
  return InvalidArgument("request_id %s was used for another request", request_id);
}
absl::Status SharedNeedsAdmin() {
  return PermissionDenied(
      "a memory without a scope field is the whole tenant's: it needs an admin key");
}
absl::Status TextExists(const std::string& id) {
  return AlreadyExists("memory %s of the same scope has this text", id);
}
absl::Status VersionMismatch(const std::string& id, int64_t expected, int64_t current) {
  return Aborted("memory %s has version %d, not the expected %d", id, current, expected);
}

}  // namespace dki::memory_store
