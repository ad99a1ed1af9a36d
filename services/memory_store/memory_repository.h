// SPDX-License-Identifier: Apache-2.0
// Purpose: memories of a tenant: what is stored, who sees it, and that each change happens once.
//   Implementations: PostgresMemoryRepository, InMemoryStore (the fake), under one conformance
//   suite (repository_conformance_test.cc).
//
//   Requests are those of MemoryStoreService, and each method does what the RPC's comment says.
//   REQUIRES: they have passed validate.h.
//   Every write is idempotent by request_id: a repeated request has the first one's result (the
//   memory as it is now; NOT_FOUND when it has been deleted since); the same id with other contents
//   is INVALID_ARGUMENT. Vectors do not count as contents: they follow from the text.
//
// Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <string>

#include "dki/memory/v1/memory_store_service.pb.h"
#include "libs/base/status.h"

namespace dki::memory_store {

namespace v1 = ::dki::memory::v1;

// On whose behalf, and until when.
struct Access {
  std::string tenant_id;
  // May write what the whole tenant sees (memories without a scope field); else PERMISSION_DENIED.
  bool admin = false;
  std::chrono::system_clock::time_point deadline = std::chrono::system_clock::time_point::max();
};

class MemoryRepository {
 public:
  virtual ~MemoryRepository() = default;

  // All or nothing. An existing memory of the same scope and text is returned as it is, `created`
  // false, also where an earlier one of the same batch made it.
  virtual absl::StatusOr<v1::BatchCreateMemoriesResponse> CreateMemories(
      const Access& access, const v1::BatchCreateMemoriesRequest& request) = 0;
  virtual absl::StatusOr<v1::BatchGetMemoriesResponse> GetMemories(
      const Access& access, const v1::BatchGetMemoriesRequest& request) = 0;
  virtual absl::StatusOr<v1::ListMemoriesResponse> ListMemories(
      const Access& access, const v1::ListMemoriesRequest& request) = 0;
  virtual absl::StatusOr<v1::UpdateMemoryResponse> UpdateMemory(
      const Access& access, const v1::UpdateMemoryRequest& request) = 0;
  virtual absl::StatusOr<v1::ListMemoryVersionsResponse> ListMemoryVersions(
      const Access& access, const v1::ListMemoryVersionsRequest& request) = 0;
  // An expired memory that the sweep has not met yet can still be deleted.
  virtual absl::StatusOr<v1::DeleteMemoryResponse> DeleteMemory(
      const Access& access, const v1::DeleteMemoryRequest& request) = 0;
  virtual absl::StatusOr<v1::EraseScopeResponse> EraseScope(
      const Access& access, const v1::EraseScopeRequest& request) = 0;

  // Deletes the expired memories of all tenants, and forgets requests older than a week. Returns
  // the number of memories deleted.
  virtual absl::StatusOr<int64_t> Sweep() = 0;
};

}  // namespace dki::memory_store
