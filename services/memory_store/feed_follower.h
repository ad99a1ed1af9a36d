// SPDX-License-Identifier: Apache-2.0
// Purpose: one reader's way along the feed: the backlog after where it stands, then new changes as
//   they are committed, without a gap and without an end.
//   Per tenant, CAUGHT_UP at the head follows the changes that led there; one CAUGHT_UP without a
//   tenant and at position 0 says that the whole backlog of the start has been sent, also when
//   there is no tenant at all.
// Thread-safety: one thread per Follow; FeedSignal is shared.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <string>

#include "dki/memory/v1/memory_store_service.pb.h"
#include "services/memory_store/feed_signal.h"
#include "services/memory_store/feed_source.h"

namespace dki::memory_store {

class FeedFollower {
 public:
  struct Options {
    // Of one message to the reader.
    int max_batch = 500;
    // How soon changes committed by other processes are seen, and a reader's cancellation.
    std::chrono::milliseconds poll_interval{200};
    // After reading changes it rests this many times as long as that took, at most max_rest: in a
    // storm of writes it takes a fifth of one connection's time.
    int rest_share = 4;
    std::chrono::milliseconds max_rest{50};
  };
  struct Reader {
    // Of one tenant, or of all where empty.
    std::string tenant_id;
    bool with_vectors = true;
    // Where it stands; 0 for tenants that are not named.
    std::map<std::string, int64_t> positions;
    // False: the reader is gone.
    std::function<bool(const memory::v1::FollowFeedResponse&)> send;
    std::function<bool()> is_cancelled;
  };

  FeedFollower(FeedSource* source, FeedSignal* signal, Options options)
      : source_(source), signal_(signal), options_(options) {}

  // Returns CANCELLED when the reader has gone, UNAVAILABLE after FeedSignal::Stop, OUT_OF_RANGE
  // when the reader stands beyond a tenant's head: it followed another database and must start from
  // 0. While the database is away it waits.
  absl::Status Follow(Reader reader) const;

  // Whoever rests reads on.
  void Wake() const { signal_->Hurry(); }

 private:
  // Sends what there is now; `caught_up` when nothing is left of what was there at its start.
  absl::Status SendChanges(Reader* reader, bool* caught_up) const;
  absl::Status SendTenant(Reader* reader, const FeedHead& head, bool* caught_up) const;

  FeedSource* const source_;
  FeedSignal* const signal_;
  const Options options_;
};

}  // namespace dki::memory_store
