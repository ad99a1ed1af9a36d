// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/memory_rules.h"

#include <string>

#include "libs/base/strings.h"
#include "services/orchestrator/limits.h"

namespace dki::orchestrator {

absl::Status CheckMemoryText(std::string_view field, std::string_view text) {
  DKI_RETURN_IF_ERROR(CheckText(field, text, 1, kMaxMemoryBytes));
  if (Trim(text).empty()) return InvalidArgument("%s must not be only white space", field);
  return absl::OkStatus();
}

absl::Status CheckNewMemory(std::string_view field, const v1::MemoryInput& input,
                            const rpc::Caller& caller) {
  const std::string prefix = std::string(field) + ".";
  DKI_RETURN_IF_ERROR(CheckMemoryText(prefix + "text", input.text()));
  DKI_RETURN_IF_ERROR(CheckScope(prefix + "scope", input.scope()));
  if (input.tags_size() > kMaxTags) {
    return InvalidArgument("%stags must be at most %d, not %d", prefix, kMaxTags,
                           input.tags_size());
  }
  for (int i = 0; i < input.tags_size(); ++i) {
    DKI_RETURN_IF_ERROR(
        CheckText(absl::StrFormat("%stags[%d]", prefix, i), input.tags(i), 1, kMaxTagBytes));
  }
  DKI_RETURN_IF_ERROR(
      CheckText(prefix + "metadata_json", input.metadata_json(), 0, kMaxMetadataBytes));
  DKI_RETURN_IF_ERROR(
      CheckRange(prefix + "priority", input.priority(), -kMaxPriority, kMaxPriority));
  if (IsEmpty(input.scope()) && !caller.May(rpc::Permission::kAdmin)) {
    return PermissionDenied(
        "%sscope: a memory of the whole tenant needs a key with the scope admin; set user_id, "
        "session_id or agent_id",
        prefix);
  }
  return absl::OkStatus();
}

memory::v1::NewMemory ToNewMemory(const v1::MemoryInput& input) {
  memory::v1::NewMemory memory;
  *memory.mutable_scope() = input.scope();
  memory.set_text(input.text());
  *memory.mutable_tags() = input.tags();
  if (input.has_expire_time()) *memory.mutable_expire_time() = input.expire_time();
  memory.set_pinned(input.pinned());
  memory.set_priority(input.priority());
  memory.set_metadata_json(input.metadata_json());
  memory.set_source_class(IsEmpty(input.scope()) ? common::v1::SOURCE_CLASS_OPERATOR
                                                 : common::v1::SOURCE_CLASS_USER);
  return memory;
}

}  // namespace dki::orchestrator
