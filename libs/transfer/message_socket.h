// SPDX-License-Identifier: Apache-2.0
// Purpose: messages over a unix socket, whole or not at all (SOCK_SEQPACKET), each with at most one
//   file descriptor. What comes is another process' word: lengths, descriptors that nobody asked
//   for and the peer's silence are handled here, the meaning of the bytes by the callers.
// Thread-safety: thread-compatible.
#pragma once

#include <chrono>
#include <string>
#include <string_view>

#include "libs/base/status.h"
#include "libs/transfer/file_descriptor.h"

namespace dki::transfer {

using Deadline = std::chrono::steady_clock::time_point;

inline constexpr size_t kMaxMessageBytes = 128;
// What the name of a unix socket may have.
inline constexpr size_t kMaxSocketPath = 107;

struct Message {
  std::string bytes;
  FileDescriptor descriptor;  // not open: none came
};

// INVALID_ARGUMENT: the path is empty or too long. UNAVAILABLE: nobody listens there.
absl::StatusOr<FileDescriptor> Connect(const std::string& path);
// Binds, replacing a socket that a dead process left; for the own user alone. ALREADY_EXISTS:
// somebody listens there.
absl::StatusOr<FileDescriptor> Listen(const std::string& path);

// Whether the process at the other end runs as this one's user. PERMISSION_DENIED if not.
absl::Status CheckPeer(int socket);

// DEADLINE_EXCEEDED: the peer does not read what it was sent before. UNAVAILABLE: it is gone.
// `descriptor` -1: none.
absl::Status Send(int socket, std::string_view bytes, int descriptor, Deadline deadline);
// DEADLINE_EXCEEDED: nothing came. UNAVAILABLE: the peer is gone. DATA_LOSS: a message that is too
// long or brings more than one descriptor (they are closed).
absl::StatusOr<Message> Receive(int socket, Deadline deadline);
// Whether the peer is there and has said nothing yet.
bool IsQuiet(int socket);

}  // namespace dki::transfer
