// SPDX-License-Identifier: Apache-2.0
// Purpose: what a request may contain. INVALID_ARGUMENT names the field and its limit; nothing is
//   written before all of a request has passed.
#pragma once

#include "absl/time/time.h"
#include "dki/memory/v1/memory_store_service.pb.h"
#include "libs/base/status.h"

namespace dki::memory_store {

constexpr int kMaxBatch = 1000;
constexpr int kMaxPageSize = 1000;
constexpr int kDefaultPageSize = 50;
constexpr int kMaxListedMessages = 1000;
constexpr int kDefaultListedMessages = 200;

// `now`: a new expiry lies after it.
absl::Status Validate(const memory::v1::CreateMemoryRequest& request, absl::Time now);
absl::Status Validate(const memory::v1::BatchCreateMemoriesRequest& request, absl::Time now);
absl::Status Validate(const memory::v1::UpdateMemoryRequest& request, absl::Time now);
absl::Status Validate(const memory::v1::BatchGetMemoriesRequest& request);
absl::Status Validate(const memory::v1::ListMemoriesRequest& request);
absl::Status Validate(const memory::v1::ListMemoryVersionsRequest& request);
absl::Status Validate(const memory::v1::DeleteMemoryRequest& request);
absl::Status Validate(const memory::v1::EraseScopeRequest& request);
absl::Status Validate(const memory::v1::FollowFeedRequest& request);
absl::Status Validate(const memory::v1::CreateConversationRequest& request);
absl::Status Validate(const memory::v1::AppendMessagesRequest& request);
absl::Status Validate(const memory::v1::ListMessagesRequest& request);
absl::Status Validate(const memory::v1::DeleteConversationRequest& request);

}  // namespace dki::memory_store
