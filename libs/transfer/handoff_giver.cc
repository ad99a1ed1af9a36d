// SPDX-License-Identifier: Apache-2.0
#include "libs/transfer/handoff_giver.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <utility>

#include "libs/base/ids.h"
#include "libs/transfer/handoff.h"

namespace dki::transfer {
namespace {

// Device and number of the file; zeros: there is none.
std::pair<uint64_t, uint64_t> FileId(const std::string& path) {
  struct stat status = {};
  if (lstat(path.c_str(), &status) != 0) return {0, 0};
  return {status.st_dev, status.st_ino};
}

}  // namespace

absl::StatusOr<std::unique_ptr<HandoffGiver>> HandoffGiver::Start(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(FileDescriptor listener, Listen(path));
  FileDescriptor stop(eventfd(0, EFD_CLOEXEC));
  if (!stop.is_open()) return Unavailable("eventfd");
  return std::unique_ptr<HandoffGiver>(
      new HandoffGiver(path, std::move(listener), std::move(stop)));
}

HandoffGiver::HandoffGiver(std::string path, FileDescriptor listener, FileDescriptor stop)
    : path_(std::move(path)),
      file_(FileId(path_)),
      listener_(std::move(listener)),
      stop_(std::move(stop)) {
  thread_ = std::thread([this] { Run(); });
}

HandoffGiver::~HandoffGiver() {
  eventfd_write(stop_.get(), 1);
  thread_.join();
  // Another process may listen there by now.
  if (FileId(path_) == file_) unlink(path_.c_str());
}

void HandoffGiver::Run() {
  constexpr int kPauseMs = 100;
  bool may_accept = true;
  while (true) {
    const std::vector<std::pair<int, std::string>> watched = Watched();
    std::vector<pollfd> polled = {
        {.fd = stop_.get(), .events = POLLIN, .revents = 0},
        // Not polled: a negative number.
        {.fd = may_accept ? listener_.get() : -1, .events = POLLIN, .revents = 0}};
    for (const auto& [fd, token] : watched) {
      polled.push_back({.fd = fd, .events = POLLIN, .revents = 0});
    }
    poll(polled.data(), polled.size(), may_accept ? -1 : kPauseMs);
    may_accept = true;
    if (polled[0].revents != 0) return;
    {
      // Takers have nothing to say here: whoever speaks or is gone is let go.
      const MutexLock lock(mutex_.get());
      for (size_t i = 0; i < watched.size(); ++i) {
        if (polled[i + 2].revents != 0) connections_.erase(watched[i].second);
      }
    }
    // Out of descriptors, for instance: not at once again.
    if (polled[1].revents != 0) may_accept = Accept();
  }
}

std::vector<std::pair<int, std::string>> HandoffGiver::Watched() const {
  const MutexLock lock(mutex_.get());
  std::vector<std::pair<int, std::string>> watched;
  for (const auto& [token, connection] : connections_) {
    watched.emplace_back(connection->socket.get(), token);
  }
  return watched;
}

bool HandoffGiver::Accept() {
  auto connection = std::make_shared<Connection>();
  connection->socket = FileDescriptor(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!connection->socket.is_open()) return false;
  if (!CheckPeer(connection->socket.get()).ok()) return true;
  const std::string token = RandomBytes(kTokenBytes);
  const MutexLock lock(mutex_.get());
  if (connections_.size() >= kMaxConnections) return true;
  if (Send(connection->socket.get(), std::string(kHello) + token, -1, Deadline::min()).ok()) {
    connections_.emplace(token, std::move(connection));
  }
  return true;
}

std::unique_ptr<HandoffGiver::Lease> HandoffGiver::Take(const std::string& token) {
  const MutexLock lock(mutex_.get());
  const auto found = connections_.find(token);
  if (found == connections_.end() || found->second->taken) return nullptr;
  found->second->taken = true;
  return std::unique_ptr<Lease>(new Lease(found->second, mutex_));
}

HandoffGiver::Lease::~Lease() {
  // The thread sees its end and forgets it.
  if (failed_) shutdown(connection_->socket.get(), SHUT_RDWR);
  const MutexLock lock(mutex_.get());
  connection_->taken = false;
}

absl::StatusOr<std::string> HandoffGiver::Lease::Give(const SealedMemory& block) {
  if (failed_) return Unavailable("the connection has failed before");
  std::string tag = RandomBytes(kTagBytes);
  if (absl::Status sent = Send(connection_->socket.get(), tag, block.descriptor(),
                               std::chrono::steady_clock::now() + kPatience);
      !sent.ok()) {
    failed_ = true;
    return sent;
  }
  return tag;
}

}  // namespace dki::transfer
