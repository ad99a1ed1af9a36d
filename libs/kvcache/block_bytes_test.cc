// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/block_bytes.h"

#include <fcntl.h>
#include <gmock/gmock.h>

#include <algorithm>

#include "libs/testing/status_matchers.h"

namespace dki::kvcache {
namespace {

TEST(BlockBytesTest, CopiesShareTheBytes) {
  const BlockBytes none;
  EXPECT_TRUE(none == nullptr);
  const BlockBytes bytes(std::string(1000, 'k'));
  const BlockBytes copy = bytes;
  EXPECT_TRUE(copy == bytes && copy != nullptr);
  EXPECT_EQ(copy->data(), bytes->data());
  EXPECT_FALSE(BlockBytes(std::string(1000, 'k')) == bytes);
}

TEST(BlockBytesTest, SealedBytesAreEqualAndSealedOnce) {
  const BlockBytes bytes(std::string(1000, 'k'));
  EXPECT_EQ(bytes.sealed(), nullptr);
  ASSERT_OK_AND_ASSIGN(const BlockBytes sealed, Seal(bytes));
  ASSERT_NE(sealed.sealed(), nullptr);
  EXPECT_EQ(*sealed, *bytes);
  ASSERT_OK_AND_ASSIGN(const BlockBytes again, Seal(sealed));
  EXPECT_TRUE(again == sealed);
}

// Looked at from outside: the kernel still has the page.
TEST(BlockBytesTest, WhatIsLetGoIsOverwritten) {
  constexpr size_t kBytes = 4000;
  std::string secret(kBytes, 's');
  const char* const data = secret.data();
  const transfer::FileDescriptor memory(open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
  std::string seen(kBytes, '\0');
  {
    const BlockBytes bytes(std::move(secret));
    ASSERT_EQ(bytes->data(), data) << "moved, not copied";
  }
  ASSERT_EQ(pread(memory.get(), seen.data(), kBytes, reinterpret_cast<off_t>(data)),
            static_cast<ssize_t>(kBytes));
  // The allocator keeps pointers of its own at the front of what is free.
  EXPECT_EQ(std::ranges::count(seen.substr(64), 's'), 0);
}

}  // namespace
}  // namespace dki::kvcache
