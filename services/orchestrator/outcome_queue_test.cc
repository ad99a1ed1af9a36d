// SPDX-License-Identifier: Apache-2.0
#include "services/orchestrator/outcome_queue.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <memory>
#include <vector>

namespace dki::orchestrator {
namespace {

using ::testing::ElementsAre;

constexpr std::chrono::milliseconds kLong{10'000};

TEST(OutcomeQueueTest, WritesInOrderAndAllBeforeItGoes) {
  std::vector<int> written;
  {
    OutcomeQueue queue(8);
    for (int i = 0; i < 3; ++i) {
      EXPECT_TRUE(queue.Offer([&written, i] { written.push_back(i); }));
    }
  }
  EXPECT_THAT(written, ElementsAre(0, 1, 2));
}

TEST(OutcomeQueueTest, WhoeverWaitsSeesWhatWasOfferedBefore) {
  OutcomeQueue queue(8);
  std::promise<void> store;
  std::atomic<bool> written = false;
  ASSERT_TRUE(queue.Offer([&] {
    store.get_future().wait();
    written = true;
  }));
  queue.WaitForOffered(std::chrono::milliseconds(1));  // the store does not answer
  EXPECT_FALSE(written);
  store.set_value();
  queue.WaitForOffered(kLong);
  EXPECT_TRUE(written);
}

TEST(OutcomeQueueTest, WhenTooManyWaitTheCallerWritesItself) {
  std::promise<void> began;
  std::promise<void> store;
  OutcomeQueue queue(1);
  ASSERT_TRUE(queue.Offer([&] {
    began.set_value();
    store.get_future().wait();
  }));
  began.get_future().wait();
  EXPECT_TRUE(queue.Offer([] {}));
  EXPECT_FALSE(queue.Offer([] {}));
  store.set_value();
  queue.WaitForOffered(kLong);
  EXPECT_TRUE(queue.Offer([] {}));
}

}  // namespace
}  // namespace dki::orchestrator
