// SPDX-License-Identifier: Apache-2.0
#include "libs/clients/erasure_ledger.h"

#include <algorithm>

namespace dki::clients {
namespace {

constexpr size_t kMaxRemovals = 65536;

}  // namespace

void ErasureLedger::Removed(const std::string& tenant_id, int64_t position,
                            const std::string& store, int64_t items) {
  MutexLock lock(&mutex_);
  removals_.push_back({tenant_id, position, store, items, clock_->Now()});
  if (removals_.size() > kMaxRemovals) removals_.pop_front();
}

void ErasureLedger::Applied(const std::string& tenant_id, int64_t position) {
  MutexLock lock(&mutex_);
  int64_t& applied = applied_[tenant_id];
  applied = std::max(applied, position);
}

void ErasureLedger::Clear() {
  MutexLock lock(&mutex_);
  removals_.clear();
  applied_.clear();
}

bool ErasureLedger::HasApplied(const DueErasure& due) const {
  MutexLock lock(&mutex_);
  const auto found = applied_.find(due.tenant_id());
  // A tenant without any change is not in the feed.
  return due.position() == 0 || (found != applied_.end() && found->second >= due.position());
}

erasure::v1::ErasedItems ErasureLedger::Items(const DueErasure& due,
                                              const std::string& store) const {
  MutexLock lock(&mutex_);
  int64_t items = 0;
  absl::Time time = absl::InfinitePast();
  for (const Removal& removal : removals_) {
    if (removal.tenant_id != due.tenant_id() || removal.store != store ||
        removal.position <= due.after_position() || removal.position > due.position()) {
      continue;
    }
    items += removal.items;
    time = std::max(time, removal.time);
  }
  erasure::v1::ErasedItems erased;
  erased.set_store(store);
  erased.set_items(items);
  *erased.mutable_unreachable_time() =
      ToTimestamp(time == absl::InfinitePast() ? clock_->Now() : time);
  *erased.mutable_gone_time() = erased.unreachable_time();
  return erased;
}

google::protobuf::Timestamp ToTimestamp(absl::Time time) {
  const int64_t micros = absl::ToUnixMicros(time);
  google::protobuf::Timestamp timestamp;
  timestamp.set_seconds(micros / 1'000'000);
  timestamp.set_nanos(static_cast<int32_t>(micros % 1'000'000) * 1000);
  return timestamp;
}

}  // namespace dki::clients
