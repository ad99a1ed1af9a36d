// SPDX-License-Identifier: Apache-2.0
// Purpose: creates single memories, those of requests that come at the same time together: whoever
//   finds a place among the running transactions takes along all that wait by then (LevelDB's
//   writers do it so). A commit, and what a statement costs, is then shared by many. So that groups
//   do not fall apart, one that could go waits up to a millisecond for as many as go together at
//   present; where requests come one after the other, nobody waits. Each is acknowledged after its
//   commit only, and has its own result: what cannot go with the others, or made their transaction
//   fail, is done alone.
// Thread-safety: thread-safe. The thread that leads a group runs its transaction.
#pragma once

#include <deque>
#include <set>
#include <string>
#include <vector>

#include "dki/memory/v1/memory_store_service.pb.h"
#include "libs/base/mutex.h"
#include "libs/base/status.h"
#include "services/memory_store/database.h"

namespace dki::memory_store {

// A request for one new memory.
struct Creation {
  std::string tenant_id;
  std::string request_id;
  std::string request_hash;
  int64_t now_us = 0;
  const memory::v1::Memory* memory = nullptr;  // with its id
  const memory::v1::Vector* vector = nullptr;
};

// What came of it; of a repeated request, what came of the first one.
struct Created {
  std::string memory_id;
  int64_t position = 0;
  bool created = false;
  // Instead of the above: the stored response of a batch with one memory, before migration 3.
  std::string old_response;
};

class CreationQueue {
 public:
  explicit CreationQueue(Database* database) : database_(database) {}

  // Errors as of Database::Write, and NOT_FOUND (the tenant has been erased), INVALID_ARGUMENT (the
  // request id is another request's).
  absl::StatusOr<Created> Create(const Creation& creation, Database::Deadline deadline);

  // How many wait for a place now.
  int n_waiting();

 private:
  struct Entry;

  // Takes `leader` and all that may go with it. Empty when it must wait, or waits for others.
  std::vector<Entry*> TakeGroup(Entry* leader) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  bool MayLead(const Entry& entry) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // How many go together at present: an equal part of those that are under way.
  int UsualGroup() const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  // Tells one that may lead now.
  void WakeLeader() ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);
  void RunGroup(const std::vector<Entry*>& group);
  absl::StatusOr<Created> CreateAlone(const Creation& creation, Database::Deadline deadline);

  Database* const database_;
  Mutex mutex_;
  std::deque<Entry*> waiting_ ABSL_GUARDED_BY(mutex_);
  int n_running_ ABSL_GUARDED_BY(mutex_) = 0;
  // Creations that wait or run, and how many there were lately.
  int n_under_way_ ABSL_GUARDED_BY(mutex_) = 0;
  int n_lately_ ABSL_GUARDED_BY(mutex_) = 0;
  // Of the running groups: no two have one in common, and so none finds its tenants locked.
  std::set<std::string> running_tenants_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::memory_store
