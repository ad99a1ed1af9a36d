// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/fair_queue.h"

#include <gmock/gmock.h>

namespace dki::engine {
namespace {

constexpr auto kAny = [](int) { return true; };

TEST(FairQueueTest, TheLeastServedTenantIsNext) {
  FairQueue<int> queue;
  for (int i = 0; i < 4; ++i) queue.Push("a", i);
  queue.Push("b", 10);
  queue.Push("b", 11);
  EXPECT_EQ(queue.Pop(), 0);
  queue.Charge("a", 100);
  EXPECT_EQ(queue.Pop(), 10);
  queue.Charge("b", 40);
  EXPECT_EQ(queue.Pop(), 11);
  queue.Charge("b", 100);
  EXPECT_EQ(*queue.Front(), 1);
  EXPECT_EQ(queue.size(), 3u);
}

TEST(FairQueueTest, IdlingSavesNothingUp) {
  FairQueue<int> queue;
  for (int i = 0; i < 3; ++i) queue.Push("a", i);
  queue.Pop();
  queue.Charge("a", 1000);
  queue.Push("b", 10);
  queue.Push("b", 11);
  EXPECT_EQ(queue.Pop(), 10);  // level with a, and a is not less served
  queue.Charge("b", 1);
  EXPECT_EQ(queue.Pop(), 1);  // not another 999 tokens of b first
}

TEST(FairQueueTest, WhatIsPushedBackIsNextAgain) {
  FairQueue<int> queue;
  queue.Push("a", 0);
  queue.Push("a", 1);
  const int taken = queue.Pop();
  queue.PushFront("a", taken);
  queue.Leave("a");
  EXPECT_EQ(queue.Pop(), 0);
}

TEST(FairQueueTest, TheLongestQueueGivesWay) {
  FairQueue<int> queue;
  for (int i = 0; i < 3; ++i) queue.Push("a", i);
  queue.Push("b", 10);
  EXPECT_EQ(queue.DropNewestOfLongest(queue.WaitingOf("b"), [](int i) { return i != 2; }), 1);
  EXPECT_EQ(queue.DropNewestOfLongest(queue.WaitingOf("a"), kAny), std::nullopt);
  EXPECT_EQ(queue.DropNewestOfLongest(1, kAny), 2);
  EXPECT_EQ(queue.DropNewestOfLongest(1, kAny), std::nullopt);
  EXPECT_EQ(queue.size(), 2u);
}

}  // namespace
}  // namespace dki::engine
