// SPDX-License-Identifier: Apache-2.0
#include "libs/transfer/sealed_memory.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>

#include "libs/base/check.h"

namespace dki::transfer {
namespace {

constexpr int kAllSeals = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
constexpr int64_t kUsualMappings = 65530;  // Linux' default of vm.max_map_count

absl::Status Exhausted(const char* what) {
  return ResourceExhausted("%s: %s", what, std::strerror(errno));
}

absl::Status WriteAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t n = write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return Exhausted("memfd");
    bytes.remove_prefix(static_cast<size_t>(n));
  }
  return absl::OkStatus();
}

}  // namespace

absl::StatusOr<std::shared_ptr<const SealedMemory>> SealedMemory::Create(std::string_view bytes) {
  DKI_CHECK(!bytes.empty());
  FileDescriptor fd(memfd_create("dki-block", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.is_open()) return Exhausted("memfd_create");
  DKI_RETURN_IF_ERROR(WriteAll(fd.get(), bytes));
  if (fcntl(fd.get(), F_ADD_SEALS, kAllSeals) != 0) return Exhausted("sealing a memfd");
  return Map(std::move(fd), bytes.size());
}

absl::StatusOr<std::shared_ptr<const SealedMemory>> SealedMemory::Map(FileDescriptor descriptor,
                                                                      size_t n_bytes) {
  const int seals = fcntl(descriptor.get(), F_GET_SEALS);
  if (seals < 0) return FailedPrecondition("not a memfd: %s", std::strerror(errno));
  if ((seals & kAllSeals) != kAllSeals) {
    return FailedPrecondition("a memfd with seals %#x where %#x are needed", seals, kAllSeals);
  }
  struct stat status = {};
  if (fstat(descriptor.get(), &status) != 0) return Exhausted("fstat");
  if (n_bytes == 0 || static_cast<size_t>(status.st_size) != n_bytes) {
    return FailedPrecondition("a memfd of %d bytes where %d are announced", status.st_size,
                              n_bytes);
  }
  void* const data =
      mmap(nullptr, n_bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, descriptor.get(), 0);
  if (data == MAP_FAILED) return Exhausted("mapping a memfd");
  return std::shared_ptr<const SealedMemory>(
      new SealedMemory(std::move(descriptor), static_cast<const char*>(data), n_bytes));
}

SealedMemory::~SealedMemory() {
  munmap(const_cast<char*>(data_), size_);
}

int64_t MostSealedMemories() {
  rlimit files = {};
  if (getrlimit(RLIMIT_NOFILE, &files) != 0) return 0;
  files.rlim_cur = files.rlim_max;
  setrlimit(RLIMIT_NOFILE, &files);
  int64_t mappings = kUsualMappings;
  std::ifstream("/proc/sys/vm/max_map_count") >> mappings;
  const auto descriptors =
      static_cast<int64_t>(std::min<rlim_t>(files.rlim_cur, std::numeric_limits<int32_t>::max()));
  return std::min(descriptors, mappings) / 2;
}

}  // namespace dki::transfer
