// SPDX-License-Identifier: Apache-2.0
#include "services/kv/pack_request.h"

#include <cstdlib>

#include "libs/base/utf8.h"
#include "libs/clients/memory_attributes.h"

namespace dki::kv {
namespace {

constexpr int kMaxMemories = 256;
constexpr size_t kMaxTextBytes = 8192;
constexpr size_t kMaxIdBytes = 128;
constexpr size_t kMaxUserIdBytes = 256;
constexpr int kMaxPriority = 100;
constexpr size_t kMaxPromptBytes = 1 << 20;

absl::Status CheckText(const std::string& field, const std::string& text, size_t min, size_t max) {
  if (text.size() < min || text.size() > max) {
    return InvalidArgument("%s: has %d bytes, must have %d to %d", field, text.size(), min, max);
  }
  if (const size_t at = FindInvalidUtf8(text); at != std::string::npos) {
    return InvalidArgument("%s: not valid UTF-8 at byte %d", field, at);
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<PackRequest> ReadPackSpec(const std::string& tenant_id, const v1::PackSpec& spec) {
  if (spec.memories_size() > kMaxMemories) {
    return InvalidArgument("pack.memories: %d, at most %d", spec.memories_size(), kMaxMemories);
  }
  DKI_RETURN_IF_ERROR(
      CheckText("pack.context_system_prompt", spec.context_system_prompt(), 0, kMaxPromptBytes));
  PackRequest request{.tenant_id = tenant_id,
                      .context_system_prompt = spec.context_system_prompt(),
                      .memories = {}};
  if (!spec.composition().empty()) {
    const auto composition = injection::ParseServedComposition(spec.composition());
    if (!composition.ok()) return Annotate(composition.status(), "pack.composition");
    request.composition = *composition;
  }
  for (int i = 0; i < spec.memories_size(); ++i) {
    const v1::PackMemory& memory = spec.memories(i);
    const std::string field = absl::StrFormat("pack.memories[%d]", i);
    DKI_RETURN_IF_ERROR(CheckText(field + ".memory_id", memory.memory_id(), 1, kMaxIdBytes));
    DKI_RETURN_IF_ERROR(CheckText(field + ".text", memory.text(), 1, kMaxTextBytes));
    const common::v1::MemoryAttributes& attributes = memory.attributes();
    DKI_RETURN_IF_ERROR(
        CheckText(field + ".attributes.user_id", attributes.user_id(), 0, kMaxUserIdBytes));
    if (std::abs(int64_t{attributes.priority()}) > kMaxPriority) {
      return InvalidArgument("%s.attributes.priority: %d, must be %d to %d", field,
                             attributes.priority(), -kMaxPriority, kMaxPriority);
    }
    request.memories.push_back(
        {memory.memory_id(), memory.text(), clients::ToAttributes(attributes)});
  }
  return request;
}

}  // namespace dki::kv
