// SPDX-License-Identifier: Apache-2.0
// Purpose: what a request may contain. INVALID_ARGUMENT names the field and its limit.
#pragma once

#include "dki/retrieval/v1/retrieval_service.pb.h"
#include "libs/base/status.h"

namespace dki::retrieval {

constexpr int kMaxTexts = 256;
constexpr size_t kMaxTextBytes = 65'536;
constexpr int kMaxK = 1000;
constexpr int kMaxMemoryIds = 1000;
constexpr int kMaxRecent = 8;
constexpr float kMaxWordWeight = 10;
constexpr size_t kMaxIdBytes = 128;
constexpr size_t kMaxTagBytes = 64;
constexpr size_t kMaxScopeFieldBytes = 256;

absl::Status Validate(const v1::EmbedRequest& request);
absl::Status Validate(const v1::SearchRequest& request);

}  // namespace dki::retrieval
