// SPDX-License-Identifier: Apache-2.0
#include "services/retrieval/validate.h"

#include <string>

#include "libs/base/utf8.h"

namespace dki::retrieval {
namespace {

absl::Status CheckText(const std::string& field, const std::string& text, size_t min_bytes,
                       size_t max_bytes) {
  if (text.size() < min_bytes || text.size() > max_bytes) {
    return InvalidArgument("%s has %d bytes; it must have %d to %d", field, text.size(), min_bytes,
                           max_bytes);
  }
  const size_t invalid = FindInvalidUtf8(text);
  if (invalid != std::string_view::npos) {
    return InvalidArgument("%s is not valid UTF-8 at byte %d", field, invalid);
  }
  const size_t nul = text.find('\0');
  if (nul != std::string::npos) {
    return InvalidArgument("%s contains a NUL at byte %d; it must have none", field, nul);
  }
  return absl::OkStatus();
}

}  // namespace

absl::Status Validate(const v1::EmbedRequest& request) {
  if (request.texts_size() < 1 || request.texts_size() > kMaxTexts) {
    return InvalidArgument("texts has %d items; it must have 1 to %d", request.texts_size(),
                           kMaxTexts);
  }
  for (int i = 0; i < request.texts_size(); ++i) {
    DKI_RETURN_IF_ERROR(
        CheckText(absl::StrFormat("texts[%d]", i), request.texts(i), 1, kMaxTextBytes));
  }
  return absl::OkStatus();
}

absl::Status Validate(const v1::SearchRequest& request) {
  DKI_RETURN_IF_ERROR(CheckText("query", request.query(), 1, kMaxTextBytes));
  const auto& scope = request.scope();
  DKI_RETURN_IF_ERROR(CheckText("scope.user_id", scope.user_id(), 0, kMaxScopeFieldBytes));
  DKI_RETURN_IF_ERROR(CheckText("scope.session_id", scope.session_id(), 0, kMaxScopeFieldBytes));
  DKI_RETURN_IF_ERROR(CheckText("scope.agent_id", scope.agent_id(), 0, kMaxScopeFieldBytes));
  if (request.k() < 1 || request.k() > kMaxK) {
    return InvalidArgument("k is %d; it must be 1 to %d", request.k(), kMaxK);
  }
  // Negated, so that NaN fails.
  if (request.has_threshold() && !(request.threshold() >= -1 && request.threshold() <= 1)) {
    return InvalidArgument("threshold is %g; it must be -1 to 1", request.threshold());
  }
  if (request.has_word_weight() &&
      !(request.word_weight() >= 0 && request.word_weight() <= kMaxWordWeight)) {
    return InvalidArgument("word_weight is %g; it must be 0 to %g", request.word_weight(),
                           kMaxWordWeight);
  }
  if (request.recent_size() > kMaxRecent) {
    return InvalidArgument("recent has %d items; it must have at most %d", request.recent_size(),
                           kMaxRecent);
  }
  for (int i = 0; i < request.recent_size(); ++i) {
    DKI_RETURN_IF_ERROR(
        CheckText(absl::StrFormat("recent[%d]", i), request.recent(i), 0, kMaxTextBytes));
  }
  if (request.min_position() < 0) {
    return InvalidArgument("min_position is %d; it must not be negative", request.min_position());
  }
  if (request.memory_ids_size() > kMaxMemoryIds) {
    return InvalidArgument("memory_ids has %d items; it must have at most %d",
                           request.memory_ids_size(), kMaxMemoryIds);
  }
  for (int i = 0; i < request.memory_ids_size(); ++i) {
    DKI_RETURN_IF_ERROR(
        CheckText(absl::StrFormat("memory_ids[%d]", i), request.memory_ids(i), 1, kMaxIdBytes));
  }
  return CheckText("tag", request.tag(), 0, kMaxTagBytes);
}

}  // namespace dki::retrieval
