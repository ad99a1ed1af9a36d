// SPDX-License-Identifier: Apache-2.0
// Purpose: audit records that wait in a local file and survive the process and the machine's crash.
//
// The file holds a line per record, "HASH TENANT KIND REQUEST": KIND is "decision" or "outcome",
// REQUEST the serialised request in Base64, HASH the hexadecimal SHA-256 of the previous line's
// hash (64 zeros before the first) and the rest of the line. A line counts once it is written whole
// and synced. A torn last line, which a crash leaves, was never acknowledged and is cut off; any
// other line that does not fit the chain is damage, and opening fails.
//
// Taking entries out moves a mark in memory; once all are out, the file is emptied. After a crash
// the file's records are shipped again from its start, which the store takes as repetitions.
// Thread-safety: as AuditOutbox. One process per file (held by a lock on it).
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <string>

#include "libs/base/mutex.h"
#include "services/orchestrator/audit_outbox.h"

namespace dki::orchestrator {

class SpoolOutbox : public AuditOutbox {
 public:
  // Makes the file (readable by its owner only) where there is none. DATA_LOSS for a damaged file,
  // FAILED_PRECONDITION when another process has it.
  static absl::StatusOr<std::unique_ptr<SpoolOutbox>> Open(const std::string& path,
                                                           int64_t max_bytes = int64_t{1} << 30);
  ~SpoolOutbox() override;
  SpoolOutbox(const SpoolOutbox&) = delete;
  SpoolOutbox& operator=(const SpoolOutbox&) = delete;

  absl::Status Push(const AuditEntry& entry) override;
  absl::StatusOr<std::optional<AuditEntry>> Front() override;
  absl::Status Pop() override;
  size_t size() const override;

 private:
  struct Line {
    int64_t offset = 0;
    int64_t n_bytes = 0;  // without the newline
  };
  SpoolOutbox(std::string path, int fd, int64_t max_bytes)
      : path_(std::move(path)), fd_(fd), max_bytes_(max_bytes) {}
  absl::Status Recover() ABSL_LOCKS_EXCLUDED(mutex_);
  absl::Status Truncate(int64_t n_bytes) ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const std::string path_;
  const int fd_;
  const int64_t max_bytes_;
  mutable Mutex mutex_;
  std::deque<Line> lines_ ABSL_GUARDED_BY(mutex_);
  int64_t end_ ABSL_GUARDED_BY(mutex_) = 0;  // of the last whole line
  std::string last_hash_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::orchestrator
