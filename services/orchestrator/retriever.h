// SPDX-License-Identifier: Apache-2.0
// Purpose: step 1 of the pipeline, its I/O: search, then the memories' present state.
// Thread-safety: thread-safe.
#pragma once

#include <string>
#include <vector>

#include "services/orchestrator/candidates.h"
#include "services/orchestrator/chat_task.h"
#include "services/orchestrator/tenant_positions.h"
#include "services/orchestrator/upstreams.h"

namespace dki::orchestrator {

struct Retrieved {
  std::vector<Candidate> candidates;
  std::vector<std::string> degraded;  // "retrieval", "memory_store"
  std::string embedding_fingerprint;
  int64_t position = 0;
};

class Retriever {
 public:
  // `upstreams` and `positions` must outlive it. With `needs_store`, memories that cannot be
  // checked against the store fail the request; else they are left out.
  Retriever(const Upstreams* upstreams, const TenantPositions* positions, bool needs_store)
      : upstreams_(*upstreams), positions_(*positions), needs_store_(needs_store) {}

  // Candidates for the task's turn. Retrieval away or slow: none, and `degraded` says so (memories
  // that the request names are used all the same, with equal cosines). NOT_FOUND with the id for a
  // named memory that is not visible.
  absl::StatusOr<Retrieved> Retrieve(const rpc::Call& call, const ChatTask& task) const;

  // The memories of `ids` that `viewer` sees now.
  absl::StatusOr<Memories> CurrentMemories(const rpc::Call& call,
                                           const std::vector<std::string>& ids,
                                           const common::v1::Scope& viewer) const;

 private:
  absl::StatusOr<retrieval::v1::SearchResponse> Search(const rpc::Call& call,
                                                       const ChatTask& task) const;

  const Upstreams& upstreams_;
  const TenantPositions& positions_;
  const bool needs_store_;
};

}  // namespace dki::orchestrator
