// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/spool_outbox.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <filesystem>
#include <vector>

#include "absl/strings/escaping.h"
#include "libs/base/check.h"
#include "libs/base/file.h"
#include "libs/base/sha256.h"
#include "libs/telemetry/log.h"

namespace dki::orchestrator {
namespace {

constexpr size_t kHashDigits = 64;
constexpr char kDecision[] = "decision";
constexpr char kOutcome[] = "outcome";

std::string FirstHash() {
  return std::string(kHashDigits, '0');
}

absl::Status Failed(const std::string& what, const std::string& path) {
  return Unavailable("%s of audit spool %s: %s", what, path, strerror(errno));
}

// "TENANT KIND REQUEST"; tenant ids hold no space.
std::string Encode(const AuditEntry& entry) {
  const char* kind = entry.kind == RecordKind::kDecision ? kDecision : kOutcome;
  std::string request;
  absl::Base64Escape(ToAbsl(entry.request), &request);
  return absl::StrFormat("%s %s %s", entry.tenant_id, kind, request);
}

std::optional<AuditEntry> Decode(std::string_view body) {
  const size_t first = body.find(' ');
  const size_t second = first == std::string_view::npos ? first : body.find(' ', first + 1);
  if (second == std::string_view::npos) return std::nullopt;
  const std::string_view kind = body.substr(first + 1, second - first - 1);
  AuditEntry entry;
  entry.tenant_id = std::string(body.substr(0, first));
  if (kind == kDecision) {
    entry.kind = RecordKind::kDecision;
  } else if (kind == kOutcome) {
    entry.kind = RecordKind::kOutcome;
  } else {
    return std::nullopt;
  }
  if (!absl::Base64Unescape(ToAbsl(body.substr(second + 1)), &entry.request)) return std::nullopt;
  return entry;
}

std::string ChainHash(const std::string& previous, std::string_view body) {
  return Sha256Hex(previous + " " + std::string(body));
}

// The entry of a line that follows `previous` in the chain.
std::optional<AuditEntry> CheckLine(const std::string& previous, std::string_view line) {
  if (line.size() <= kHashDigits || line[kHashDigits] != ' ') return std::nullopt;
  const std::string_view body = line.substr(kHashDigits + 1);
  if (line.substr(0, kHashDigits) != ChainHash(previous, body)) return std::nullopt;
  return Decode(body);
}

absl::Status SyncFolder(const std::string& path) {
  const std::string folder = std::filesystem::absolute(path).parent_path().string();
  const int fd = open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return Failed("opening the folder", path);
  const bool synced = fsync(fd) == 0;
  close(fd);
  return synced ? absl::OkStatus() : Failed("syncing the folder", path);
}

absl::Status WriteAll(int fd, std::string_view bytes, int64_t offset, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = pwrite(fd, bytes.data(), bytes.size(), offset);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Failed("writing", path);
    bytes.remove_prefix(static_cast<size_t>(n));
    offset += n;
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::unique_ptr<SpoolOutbox>> SpoolOutbox::Open(const std::string& path,
                                                               int64_t max_bytes) {
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0) return FailedPrecondition("audit.spool_path %s: %s", path, strerror(errno));
  std::unique_ptr<SpoolOutbox> spool(new SpoolOutbox(path, fd, max_bytes));
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    return FailedPrecondition("audit.spool_path %s is in use by another process", path);
  }
  DKI_RETURN_IF_ERROR(SyncFolder(path));
  DKI_RETURN_IF_ERROR(spool->Recover());
  return spool;
}

SpoolOutbox::~SpoolOutbox() {
  close(fd_);
}

absl::Status SpoolOutbox::Recover() {
  DKI_ASSIGN_OR_RETURN(const std::string bytes, ReadFile(path_));
  MutexLock lock(&mutex_);
  last_hash_ = FirstHash();
  const std::string_view all = bytes;
  for (size_t begin = 0; begin < all.size();) {
    const size_t newline = all.find('\n', begin);
    const bool is_last = newline == std::string_view::npos || newline + 1 == all.size();
    const std::string_view line = all.substr(begin, newline - begin);
    const bool is_whole = newline != std::string_view::npos;
    if (!is_whole || !CheckLine(last_hash_, line).has_value()) {
      if (!is_last) {
        return DataLoss(
            "audit spool %s is damaged at byte %d; the records before it are whole. Move the file "
            "away to start without it",
            path_, begin);
      }
      log::Warning("a torn last line of the audit spool was cut off",
                   {{"path", path_}, {"bytes", std::to_string(all.size() - begin)}});
      return Truncate(static_cast<int64_t>(begin));
    }
    lines_.push_back({static_cast<int64_t>(begin), static_cast<int64_t>(line.size())});
    last_hash_ = std::string(line.substr(0, kHashDigits));
    begin = newline + 1;
    end_ = static_cast<int64_t>(begin);
  }
  return absl::OkStatus();
}

absl::Status SpoolOutbox::Truncate(int64_t n_bytes) {
  if (ftruncate(fd_, n_bytes) != 0) return Failed("truncating", path_);
  end_ = n_bytes;
  if (fdatasync(fd_) != 0) return Failed("syncing", path_);
  return absl::OkStatus();
}

absl::Status SpoolOutbox::Push(const AuditEntry& entry) {
  const std::string body = Encode(entry);
  MutexLock lock(&mutex_);
  const std::string hash = ChainHash(last_hash_, body);
  const std::string line = hash + " " + body + "\n";
  const auto n_bytes = static_cast<int64_t>(line.size());
  if (end_ + n_bytes > max_bytes_) {
    return ResourceExhausted("audit spool %s has %d bytes of at most %d", path_, end_, max_bytes_);
  }
  absl::Status written = WriteAll(fd_, line, end_, path_);
  if (written.ok() && fdatasync(fd_) != 0) written = Failed("syncing", path_);
  if (!written.ok()) {
    // What was written in part must not stand before the next line.
    if (const absl::Status cut = Truncate(end_); !cut.ok()) {
      log::Error("the audit spool could not be cut back", {{"error", ToString(cut)}});
    }
    return written;
  }
  lines_.push_back({end_, n_bytes - 1});
  end_ += n_bytes;
  last_hash_ = hash;
  return absl::OkStatus();
}

absl::StatusOr<std::optional<AuditEntry>> SpoolOutbox::Front() {
  MutexLock lock(&mutex_);
  if (lines_.empty()) return std::optional<AuditEntry>();
  const Line line = lines_.front();
  std::string bytes(static_cast<size_t>(line.n_bytes), '\0');
  for (size_t done = 0; done < bytes.size();) {
    const ssize_t n = pread(fd_, bytes.data() + done, bytes.size() - done,
                            line.offset + static_cast<int64_t>(done));
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Failed("reading", path_);
    done += static_cast<size_t>(n);
  }
  std::optional<AuditEntry> entry = Decode(std::string_view(bytes).substr(kHashDigits + 1));
  if (!entry) return DataLoss("audit spool %s is damaged at byte %d", path_, line.offset);
  return entry;
}

absl::Status SpoolOutbox::Pop() {
  MutexLock lock(&mutex_);
  DKI_CHECK(!lines_.empty());
  lines_.pop_front();
  if (!lines_.empty()) return absl::OkStatus();
  const absl::Status emptied = Truncate(0);
  if (end_ == 0) last_hash_ = FirstHash();
  return emptied;
}

size_t SpoolOutbox::size() const {
  MutexLock lock(&mutex_);
  return lines_.size();
}

}  // namespace dki::orchestrator
