// SPDX-License-Identifier: Apache-2.0
#include "services/memory_store/feed_follower.h"

#include <algorithm>
#include <utility>

#include "libs/telemetry/log.h"

namespace dki::memory_store {

using memory::v1::FeedEntry;
using memory::v1::FollowFeedResponse;

namespace {

void AddCaughtUp(const std::string& tenant_id, int64_t position, FollowFeedResponse* response) {
  FeedEntry* entry = response->add_entries();
  entry->set_tenant_id(tenant_id);
  entry->set_position(position);
  entry->set_kind(FeedEntry::KIND_CAUGHT_UP);
}

absl::Status Send(const FeedFollower::Reader& reader, const FollowFeedResponse& response) {
  if (!reader.send(response)) return Cancelled("the reader has gone");
  return absl::OkStatus();
}

bool IsTransient(const absl::Status& status) {
  return absl::IsUnavailable(status) || absl::IsDeadlineExceeded(status) ||
         absl::IsAborted(status) || absl::IsResourceExhausted(status);
}

}  // namespace

absl::Status FeedFollower::Follow(Reader reader) const {
  bool announced = false;
  bool was_away = false;
  while (true) {
    const int64_t seen = signal_->count();
    const int64_t hurries = signal_->hurries();
    if (signal_->stopped()) return Unavailable("shutting down");
    if (reader.is_cancelled()) return Cancelled("the reader has gone");
    bool caught_up = false;
    const auto start = std::chrono::steady_clock::now();
    const absl::Status status = SendChanges(&reader, &caught_up);
    const auto end = std::chrono::steady_clock::now();
    if (!status.ok() && !IsTransient(status)) return status;
    if (!status.ok() && !was_away) {
      log::Warning("feed waits for the database", {{"error", ToString(status)}});
    }
    was_away = !status.ok();
    if (was_away) {
      // A change wakes nobody while the database is away, so this waits for the interval.
      signal_->WaitBeyond(signal_->count(), options_.poll_interval);
      continue;
    }
    if (!caught_up) continue;
    if (!std::exchange(announced, true)) {
      FollowFeedResponse response;
      AddCaughtUp("", 0, &response);
      DKI_RETURN_IF_ERROR(Send(reader, response));
    }
    signal_->WaitBeyond(seen, options_.poll_interval);
    // The first change after a pause is read at once; those of a storm are read in batches, so that
    // reading them leaves the database to the writers.
    const auto rest = std::min<std::chrono::steady_clock::duration>(
        options_.rest_share * (end - start), options_.max_rest);
    const auto left = std::chrono::duration_cast<std::chrono::microseconds>(
        end + rest - std::chrono::steady_clock::now());
    if (left.count() > 0) signal_->Rest(left, hurries);
  }
}

absl::Status FeedFollower::SendChanges(Reader* reader, bool* caught_up) const {
  // The heads are read before the changes: everything up to a head is committed and visible then.
  DKI_ASSIGN_OR_RETURN(const std::vector<FeedHead> heads, source_->ReadHeads(reader->tenant_id));
  *caught_up = true;
  for (const FeedHead& head : heads) {
    const int64_t position = reader->positions[head.tenant_id];
    if (position > head.position) {
      return OutOfRange("after_position: %d is beyond the head %d of tenant %s; start from 0",
                        position, head.position, head.tenant_id);
    }
    if (position == head.position) continue;
    DKI_RETURN_IF_ERROR(SendTenant(reader, head, caught_up));
  }
  // Every tenant with a head is in `positions` now. What else is there has no head at all.
  if (reader->positions.size() > heads.size()) {
    return OutOfRange("starts: names a tenant that this database has never had; start from 0");
  }
  return absl::OkStatus();
}

absl::Status FeedFollower::SendTenant(Reader* reader, const FeedHead& head, bool* caught_up) const {
  int64_t& position = reader->positions[head.tenant_id];
  DKI_ASSIGN_OR_RETURN(
      FeedBatch batch,
      source_->ReadFeed(head.tenant_id, position, options_.max_batch, reader->with_vectors));
  FollowFeedResponse response;
  for (FeedEntry& entry : batch.entries) *response.add_entries() = std::move(entry);
  const int64_t reached = batch.full ? batch.position : std::max(batch.position, head.position);
  if (batch.full) {
    *caught_up = false;
  } else {
    AddCaughtUp(head.tenant_id, reached, &response);
  }
  if (response.entries_size() > 0) DKI_RETURN_IF_ERROR(Send(*reader, response));
  position = reached;
  return absl::OkStatus();
}

}  // namespace dki::memory_store
