// SPDX-License-Identifier: Apache-2.0
// Purpose: the giving end of handoff.h: listens, and holds the connections until a call names one.
// Thread-safety: thread-safe; a Lease is thread-compatible. Ownership: owns a thread and the
//   socket's file. Leases may outlive it.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/status.h"
#include "libs/transfer/message_socket.h"
#include "libs/transfer/sealed_memory.h"

namespace dki::transfer {

class HandoffGiver {
 private:
  struct Connection {
    FileDescriptor socket;
    bool taken = false;  // guarded by the giver's mutex
  };

 public:
  static constexpr size_t kMaxConnections = 256;
  // For a taker that is behind with reading.
  static constexpr std::chrono::milliseconds kPatience{500};

  // INVALID_ARGUMENT, ALREADY_EXISTS, UNAVAILABLE: see Listen.
  static absl::StatusOr<std::unique_ptr<HandoffGiver>> Start(const std::string& path);
  ~HandoffGiver();
  HandoffGiver(const HandoffGiver&) = delete;

  // One call's use of a connection.
  class Lease {
   public:
    Lease(const Lease&) = delete;
    ~Lease();

    // Gives the block away and returns the tag that it can be recognised by. An error ends the
    // connection.
    absl::StatusOr<std::string> Give(const SealedMemory& block);

   private:
    friend class HandoffGiver;
    Lease(std::shared_ptr<Connection> connection, std::shared_ptr<Mutex> mutex)
        : connection_(std::move(connection)), mutex_(std::move(mutex)) {}

    std::shared_ptr<Connection> connection_;
    std::shared_ptr<Mutex> mutex_;  // of the giver
    bool failed_ = false;
  };
  // Null: there is no such connection, or another call has it.
  std::unique_ptr<Lease> Take(const std::string& token);

 private:
  HandoffGiver(std::string path, FileDescriptor listener, FileDescriptor stop);
  void Run();
  // False: it cannot be done now.
  bool Accept();
  // The sockets to wait for, and what they belong to.
  std::vector<std::pair<int, std::string>> Watched() const;

  const std::string path_;
  const std::pair<uint64_t, uint64_t> file_;  // of the socket's name
  const FileDescriptor listener_;
  const FileDescriptor stop_;  // an eventfd
  const std::shared_ptr<Mutex> mutex_ = std::make_shared<Mutex>();
  std::map<std::string, std::shared_ptr<Connection>> connections_;  // by token; guarded by mutex_
  std::thread thread_;
};

}  // namespace dki::transfer
