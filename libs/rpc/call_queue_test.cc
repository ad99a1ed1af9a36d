// SPDX-License-Identifier: Apache-2.0
#include "libs/rpc/call_queue.h"

#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <vector>

namespace dki::rpc {
namespace {

std::unique_ptr<grpc::ClientContext> Context() {
  return std::make_unique<grpc::ClientContext>();
}

TEST(CallQueueTest, CallsAreMadeInOrder) {
  std::vector<int> made;
  std::promise<void> done;
  CallQueue queue(100);
  for (int i = 0; i < 50; ++i) {
    EXPECT_TRUE(queue.Offer(Context(), [&, i](grpc::ClientContext*) {
      made.push_back(i);
      if (i == 49) done.set_value();
    }));
  }
  done.get_future().wait();
  ASSERT_EQ(made.size(), 50u);
  for (int i = 0; i < 50; ++i) EXPECT_EQ(made[i], i);
}

TEST(CallQueueTest, ABusyQueueRefusesAndAnEndingOneDropsWhatWaits) {
  std::atomic<int> n_made = 0;
  {
    std::promise<void> begun, go;
    CallQueue queue(2);
    EXPECT_TRUE(queue.Offer(Context(), [&](grpc::ClientContext*) {
      ++n_made;
      begun.set_value();
      go.get_future().wait();
    }));
    begun.get_future().wait();
    const auto count = [&](grpc::ClientContext*) { ++n_made; };
    EXPECT_TRUE(queue.Offer(Context(), count));
    EXPECT_TRUE(queue.Offer(Context(), count));
    EXPECT_FALSE(queue.Offer(Context(), count));
    EXPECT_EQ(n_made, 1);
    go.set_value();
  }
  EXPECT_LE(n_made, 3);
}

}  // namespace
}  // namespace dki::rpc
