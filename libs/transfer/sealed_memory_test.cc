// SPDX-License-Identifier: Apache-2.0
#include "libs/transfer/sealed_memory.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/mman.h>

#include <string>

#include "libs/testing/status_matchers.h"
#include "libs/testing/temp_dir.h"

namespace dki::transfer {
namespace {

using dki::testing::StatusIs;
using ::testing::HasSubstr;

FileDescriptor Memfd(const std::string& bytes, int seals) {
  FileDescriptor fd(memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  EXPECT_EQ(write(fd.get(), bytes.data(), bytes.size()), static_cast<ssize_t>(bytes.size()));
  if (seals != 0) {
    EXPECT_EQ(fcntl(fd.get(), F_ADD_SEALS, seals), 0);
  }
  return fd;
}

TEST(SealedMemoryTest, AnotherMappingHasTheSameBytesAndOutlivesTheFirst) {
  const std::string bytes(100'000, 'k');
  ASSERT_OK_AND_ASSIGN(auto memory, SealedMemory::Create(bytes));
  EXPECT_EQ(memory->bytes(), bytes);
  ASSERT_OK_AND_ASSIGN(const auto other,
                       SealedMemory::Map(FileDescriptor(dup(memory->descriptor())), bytes.size()));
  memory = nullptr;
  EXPECT_EQ(other->bytes(), bytes);
}

TEST(SealedMemoryTest, NobodyCanChangeIt) {
  ASSERT_OK_AND_ASSIGN(const auto memory, SealedMemory::Create("block"));
  const int fd = memory->descriptor();
  EXPECT_LT(pwrite(fd, "x", 1, 0), 0);
  EXPECT_NE(ftruncate(fd, 1), 0);
  EXPECT_NE(ftruncate(fd, 1'000'000), 0);
  EXPECT_NE(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096), 0);
  EXPECT_EQ(mmap(nullptr, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), MAP_FAILED);
  EXPECT_NE(fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE), 0);
  EXPECT_EQ(memory->bytes(), "block");
}

TEST(SealedMemoryTest, OnlyWhatIsWhollySealedIsMapped) {
  const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  EXPECT_OK(SealedMemory::Map(Memfd("block", all), 5));
  for (const int missing : {F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE, F_SEAL_SEAL}) {
    EXPECT_THAT(SealedMemory::Map(Memfd("block", all & ~missing), 5),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("seals")));
  }
  // Of which the sender may keep a writable mapping.
  EXPECT_THAT(
      SealedMemory::Map(
          Memfd("block", F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE | F_SEAL_SEAL), 5),
      StatusIs(absl::StatusCode::kFailedPrecondition));
}

TEST(SealedMemoryTest, OtherSizesAndOtherFilesAreRefused) {
  const int all = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL;
  for (const size_t announced : {size_t{0}, size_t{4}, size_t{6}, size_t{1} << 40}) {
    EXPECT_THAT(SealedMemory::Map(Memfd("block", all), announced),
                StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("5 bytes")));
  }
  const testing::TempDir folder;
  FileDescriptor file(open(folder.File("f").c_str(), O_RDWR | O_CREAT, 0600));
  ASSERT_EQ(write(file.get(), "block", 5), 5);
  EXPECT_THAT(SealedMemory::Map(std::move(file), 5),
              StatusIs(absl::StatusCode::kFailedPrecondition));
  int ends[2];
  ASSERT_EQ(pipe(ends), 0);
  const FileDescriptor writer(ends[1]);
  EXPECT_THAT(SealedMemory::Map(FileDescriptor(ends[0]), 5),
              StatusIs(absl::StatusCode::kFailedPrecondition, HasSubstr("not a memfd")));
  EXPECT_THAT(SealedMemory::Map(FileDescriptor(), 5),
              StatusIs(absl::StatusCode::kFailedPrecondition));
}

}  // namespace
}  // namespace dki::transfer
