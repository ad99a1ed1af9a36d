// SPDX-License-Identifier: Apache-2.0
// Purpose: what a follower of the change feed has removed, by feed position, until it is reported.
//   Keeps the newest 65,536 removals; what was removed before a start is not known any more, and is
//   reported as nothing.
// Thread-safety: thread-safe.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <string>

#include "absl/time/time.h"
#include "dki/erasure/v1/erasure_service.pb.h"
#include "libs/base/clock.h"
#include "libs/base/mutex.h"

namespace dki::clients {

using DueErasure = erasure::v1::ListDueErasuresResponse::Due;

class ErasureLedger {
 public:
  explicit ErasureLedger(const Clock* clock) : clock_(clock) {}

  // `items` of `store` (erasure.proto) went with the tenant's change at `position`.
  void Removed(const std::string& tenant_id, int64_t position, const std::string& store,
               int64_t items);
  // All of the tenant's changes up to `position` have been applied.
  void Applied(const std::string& tenant_id, int64_t position);
  // The feed is another one.
  void Clear();

  bool HasApplied(const DueErasure& due) const;
  // What the erasure took from `store`; unreachable and gone since then (now, where nothing did).
  erasure::v1::ErasedItems Items(const DueErasure& due, const std::string& store) const;

 private:
  struct Removal {
    std::string tenant_id;
    int64_t position = 0;
    std::string store;
    int64_t items = 0;
    absl::Time time;
  };

  const Clock* const clock_;
  mutable Mutex mutex_;
  std::deque<Removal> removals_ ABSL_GUARDED_BY(mutex_);
  std::map<std::string, int64_t> applied_ ABSL_GUARDED_BY(mutex_);
};

google::protobuf::Timestamp ToTimestamp(absl::Time time);

}  // namespace dki::clients
