// SPDX-License-Identifier: Apache-2.0
#include "kernels/cores.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <thread>

#include "kernels/thread_pool.h"

namespace dki::kernels {
namespace {

TEST(CoresTest, QuotaIsRoundedUp) {
  EXPECT_EQ(CoresOfQuota("100000 100000"), 1);
  EXPECT_EQ(CoresOfQuota("150000 100000"), 2);
  EXPECT_EQ(CoresOfQuota("5000 100000"), 1);
  EXPECT_EQ(CoresOfQuota("1600000 100000"), 16);
}

TEST(CoresTest, NoQuotaIsNoLimit) {
  EXPECT_EQ(CoresOfQuota("max 100000"), 0);
  EXPECT_EQ(CoresOfQuota(""), 0);
  EXPECT_EQ(CoresOfQuota("-1 100000"), 0);
  EXPECT_EQ(CoresOfQuota("100000 0"), 0);
}

// A thread pinned to one core sees one; the mask is the thread's own, so others are not disturbed.
TEST(CoresTest, AffinityCounts) {
  std::thread pinned([] {
    cpu_set_t all;
    ASSERT_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    int first = 0;
    while (!CPU_ISSET(first, &all)) ++first;
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(first, &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
    EXPECT_EQ(UsableCores(), 1);
    EXPECT_EQ(ThreadPool(0).n_threads(), 1);
    EXPECT_EQ(ThreadPool(3).n_threads(), 3);
  });
  pinned.join();
}

}  // namespace
}  // namespace dki::kernels
