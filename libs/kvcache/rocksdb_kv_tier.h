// SPDX-License-Identifier: Apache-2.0
// Purpose: the disk tier: encoded blocks in RocksDB under a byte budget.
//   A database that is damaged, or of another format, is moved aside and begun anew (K/V can be
//   recomputed); what was moved is deleted in the background, for it would keep memories that are
//   deleted later. Erased bytes leave the files in the background, too. A full or failing
//   disk makes Put a no-op that is counted; serving goes on, and admission resumes when RocksDB
//   recovers. Blocks are written without a log (a crash may lose the newest ones), erasures with
//   one, synced.
// Thread-safety: thread-safe.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "libs/kvcache/disk_scrubber.h"
#include "libs/kvcache/kv_tier.h"
#include "libs/kvcache/tier_budget.h"

namespace rocksdb {
class Env;
}

namespace dki::kvcache {

class RocksDbKvTier : public KvTier {
 public:
  struct Options {
    std::string path;  // a folder of its own
    // Of live blocks. The files may take more, for a while, until RocksDB has collected garbage.
    TierBudget::Options budget;
    // What is checked of a block's bytes on read; where it is empty, VerifyBlock with `shape`.
    BlockVerifier verify = {};
    model::KvShape shape = {};
    bool is_sealed = false;  // the blocks are encrypted: a database of the other kind is another
                             // format
    rocksdb::Env* env = nullptr;  // tests inject faults
    DiskScrubber::Options scrub = {};
    telemetry::Gauge* scrub_pending = nullptr;  // 1 while files may hold what was erased
    // What a crash may lose of the newest blocks.
    size_t write_buffer_bytes = size_t{32} << 20;
  };
  // FAILED_PRECONDITION when another process has it open, UNAVAILABLE when even an empty database
  // cannot be made there.
  static absl::StatusOr<std::unique_ptr<RocksDbKvTier>> Open(const Options& options);

  // Small numbers that live and die with the blocks: how far the reader of the feed has erased.
  virtual absl::StatusOr<std::map<std::string, int64_t>> ReadMarks() = 0;
  virtual absl::Status WriteMarks(const std::map<std::string, int64_t>& marks) = 0;
  virtual absl::Status ClearMarks() = 0;
  // When what was erased at `time` had left the files, too, which are rewritten in the background
  // once the tier is quiet; nothing: it may still be there.
  virtual std::optional<absl::Time> GoneTime(absl::Time time) const = 0;
  // The files hold bytes that were erased.
  virtual bool scrub_is_pending() const = 0;
  // A damaged database, or one of another format, was found at Open.
  virtual bool was_recreated() const = 0;
};

}  // namespace dki::kvcache
