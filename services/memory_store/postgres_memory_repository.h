// SPDX-License-Identifier: Apache-2.0
// Purpose: memories in PostgreSQL. Each write locks the tenant's feed head first, so the writes of
//   one tenant follow each other and row, vector and feed entry commit as one.
// Thread-safety: thread-safe. Ownership: owns none of what it is given.
#pragma once

#include <memory>
#include <string>

#include "libs/base/clock.h"
#include "libs/base/mutex.h"
#include "services/memory_store/creation_queue.h"
#include "services/memory_store/database.h"
#include "services/memory_store/feed_signal.h"
#include "services/memory_store/memory_repository.h"
#include "services/memory_store/page_token.h"

namespace dki::memory_store {

class PostgresMemoryRepository : public MemoryRepository {
 public:
  PostgresMemoryRepository(Database* database, FeedSignal* signal, const Clock* clock)
      : database_(database), signal_(signal), clock_(clock), creations_(database) {}

  absl::StatusOr<v1::BatchCreateMemoriesResponse> CreateMemories(
      const Access& access, const v1::BatchCreateMemoriesRequest& request) override;
  absl::StatusOr<v1::BatchGetMemoriesResponse> GetMemories(
      const Access& access, const v1::BatchGetMemoriesRequest& request) override;
  absl::StatusOr<v1::ListMemoriesResponse> ListMemories(
      const Access& access, const v1::ListMemoriesRequest& request) override;
  absl::StatusOr<v1::UpdateMemoryResponse> UpdateMemory(
      const Access& access, const v1::UpdateMemoryRequest& request) override;
  absl::StatusOr<v1::ListMemoryVersionsResponse> ListMemoryVersions(
      const Access& access, const v1::ListMemoryVersionsRequest& request) override;
  absl::StatusOr<v1::DeleteMemoryResponse> DeleteMemory(
      const Access& access, const v1::DeleteMemoryRequest& request) override;
  absl::StatusOr<v1::EraseScopeResponse> EraseScope(const Access& access,
                                                    const v1::EraseScopeRequest& request) override;
  absl::StatusOr<int64_t> Sweep() override;

 private:
  // Of a request for one memory, by far the most frequent write.
  absl::StatusOr<v1::BatchCreateMemoriesResponse> CreateOne(
      const Access& access, const v1::BatchCreateMemoriesRequest& request);
  absl::StatusOr<v1::BatchCreateMemoriesResponse> CreateSeveral(
      const Access& access, const v1::BatchCreateMemoriesRequest& request);
  // A transaction that changes memories; wakes the feed's followers once it is committed.
  absl::Status Write(const Access& access, const Database::Body& body);
  // The key of page tokens, read from the database once.
  absl::StatusOr<PageTokens> LoadPageTokens(const Access& access);
  int64_t NowMicros() const { return absl::ToUnixMicros(clock_->Now()); }

  Database* const database_;
  FeedSignal* const signal_;
  const Clock* const clock_;
  CreationQueue creations_;
  Mutex mutex_;
  std::string page_secret_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::memory_store
