// SPDX-License-Identifier: Apache-2.0
#include "libs/transfer/message_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <vector>

namespace dki::transfer {
namespace {

constexpr int kBacklog = 16;

absl::Status SystemError(const char* what) {
  return Unavailable("%s: %s", what, std::strerror(errno));
}

absl::StatusOr<sockaddr_un> Address(const std::string& path) {
  if (path.empty() || path.size() > kMaxSocketPath) {
    return InvalidArgument("%s: has %d bytes, the path of a socket must have 1 to %d", path,
                           path.size(), kMaxSocketPath);
  }
  sockaddr_un address = {};
  address.sun_family = AF_UNIX;
  std::ranges::copy(path, address.sun_path);
  return address;
}

FileDescriptor NewSocket() {
  return FileDescriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
}

// All descriptors that came, so that each is closed by whoever does not want it.
std::vector<FileDescriptor> TakeDescriptors(msghdr* header) {
  std::vector<FileDescriptor> taken;
  for (cmsghdr* part = CMSG_FIRSTHDR(header); part != nullptr; part = CMSG_NXTHDR(header, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const size_t n = (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < n; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + i * sizeof(int), sizeof(int));
      taken.emplace_back(fd);
    }
  }
  return taken;
}

absl::Status WaitFor(short events, int socket, Deadline deadline) {
  while (true) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd wait = {.fd = socket, .events = events, .revents = 0};
    const int n = poll(&wait, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, 60'000)));
    if (n > 0) return absl::OkStatus();
    if (n < 0 && errno != EINTR) return SystemError("poll");
    if (left.count() <= 0) return DeadlineExceeded("the peer at the socket is silent");
  }
}

}  // namespace

absl::StatusOr<FileDescriptor> Connect(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  FileDescriptor fd = NewSocket();
  if (!fd.is_open()) return SystemError("socket");
  // A full backlog is an error, not a wait.
  timeval at_once = {.tv_sec = 0, .tv_usec = 1};
  setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &at_once, sizeof(at_once));
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0) {
    return SystemError(path.c_str());
  }
  return fd;
}

absl::StatusOr<FileDescriptor> Listen(const std::string& path) {
  DKI_ASSIGN_OR_RETURN(const sockaddr_un address, Address(path));
  if (Connect(path).ok()) return AlreadyExists("%s: another process listens there", path);
  struct stat old = {};
  if (lstat(path.c_str(), &old) == 0 && S_ISSOCK(old.st_mode)) unlink(path.c_str());
  FileDescriptor fd = NewSocket();
  if (!fd.is_open()) return SystemError("socket");
  // Permissions of the socket's file come from its descriptor.
  fchmod(fd.get(), 0600);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    return SystemError(path.c_str());
  }
  return fd;
}

absl::Status CheckPeer(int socket) {
  ucred peer = {};
  socklen_t size = sizeof(peer);
  if (getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) {
    return SystemError("SO_PEERCRED");
  }
  if (peer.uid != geteuid()) {
    return PermissionDenied("the peer runs as user %d, not as %d", peer.uid, geteuid());
  }
  return absl::OkStatus();
}

absl::Status Send(int socket, std::string_view bytes, int descriptor, Deadline deadline) {
  iovec data = {.iov_base = const_cast<char*>(bytes.data()), .iov_len = bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control = {};
  msghdr header = {};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (descriptor >= 0) {
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    cmsghdr* const part = CMSG_FIRSTHDR(&header);
    part->cmsg_level = SOL_SOCKET;
    part->cmsg_type = SCM_RIGHTS;
    part->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(part), &descriptor, sizeof(int));
  }
  ssize_t sent = 0;
  while ((sent = sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT)) < 0) {
    if (errno == EAGAIN) {
      DKI_RETURN_IF_ERROR(WaitFor(POLLOUT, socket, deadline));
    } else if (errno != EINTR) {
      break;
    }
  }
  if (sent != static_cast<ssize_t>(bytes.size())) return SystemError("sending over the socket");
  return absl::OkStatus();
}

absl::StatusOr<Message> Receive(int socket, Deadline deadline) {
  std::array<char, kMaxMessageBytes> buffer;
  // Room for more than one, so that what should not have come is seen, and closed.
  alignas(cmsghdr) std::array<char, CMSG_SPACE(8 * sizeof(int))> control = {};
  iovec data = {.iov_base = buffer.data(), .iov_len = buffer.size()};
  msghdr header = {};
  ssize_t n = 0;
  do {
    DKI_RETURN_IF_ERROR(WaitFor(POLLIN, socket, deadline));
    header = {};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    header.msg_control = control.data();
    header.msg_controllen = control.size();
    n = recvmsg(socket, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
  } while (n < 0 && (errno == EINTR || errno == EAGAIN));
  if (n < 0) return SystemError("receiving over the socket");
  std::vector<FileDescriptor> descriptors = TakeDescriptors(&header);
  if (n == 0) return Unavailable("the peer closed the socket");
  if ((header.msg_flags & MSG_TRUNC) != 0) return DataLoss("a message is too long");
  if ((header.msg_flags & MSG_CTRUNC) != 0 || descriptors.size() > 1) {
    return DataLoss("a message brings more than one descriptor, or one that cannot be taken");
  }
  Message message{.bytes = std::string(buffer.data(), static_cast<size_t>(n)), .descriptor = {}};
  if (!descriptors.empty()) message.descriptor = std::move(descriptors.front());
  return message;
}

bool IsQuiet(int socket) {
  pollfd state = {.fd = socket, .events = POLLIN, .revents = 0};
  return poll(&state, 1, 0) == 0;
}

}  // namespace dki::transfer
