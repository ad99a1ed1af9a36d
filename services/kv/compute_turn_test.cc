// SPDX-License-Identifier: Apache-2.0
#include "services/kv/compute_turn.h"

#include <gmock/gmock.h>

#include <atomic>
#include <latch>
#include <optional>
#include <thread>
#include <vector>

#include "libs/testing/status_matchers.h"

namespace dki::kv {
namespace {

absl::Status Ok() {
  return absl::OkStatus();
}

TEST(ComputeTurnTest, OneAtATime) {
  ComputeTurn turn;
  int unguarded = 0;  // a race here is what ThreadSanitizer would find
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        const auto holder = turn.Take(i % 2 ? Urgency::kRequest : Urgency::kPrefetch, Ok);
        ASSERT_OK(holder);
        ++unguarded;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(unguarded, 200);
}

TEST(ComputeTurnTest, AnInterestLostGivesUpItsPlace) {
  ComputeTurn turn;
  {
    ASSERT_OK_AND_ASSIGN(const auto holder, turn.Take(Urgency::kRequest, Ok));
    EXPECT_THAT(turn.Take(Urgency::kRequest, [] { return Cancelled("gone"); }),
                testing::StatusIs(absl::StatusCode::kCancelled));
  }
  EXPECT_OK(turn.Take(Urgency::kPrefetch, Ok));
}

TEST(ComputeTurnTest, RequestsGoBeforePrefetches) {
  ComputeTurn turn;
  auto first = turn.Take(Urgency::kRequest, Ok);
  ASSERT_OK(first);
  std::optional<ComputeTurn::Holder> held(*std::move(first));
  // Each waits for the turn, as its first question tells.
  std::latch prefetch_waits(1), request_waits(1);
  std::atomic<bool> prefetch_asked = false, request_asked = false;
  std::vector<std::string> order;  // written with the turn held
  std::thread prefetch([&] {
    const auto holder = turn.Take(Urgency::kPrefetch, [&] {
      if (!prefetch_asked.exchange(true)) prefetch_waits.count_down();
      return absl::OkStatus();
    });
    order.push_back("prefetch");
  });
  prefetch_waits.wait();
  std::thread request([&] {
    const auto holder = turn.Take(Urgency::kRequest, [&] {
      if (!request_asked.exchange(true)) request_waits.count_down();
      return absl::OkStatus();
    });
    order.push_back("request");
  });
  request_waits.wait();
  held.reset();
  prefetch.join();
  request.join();
  EXPECT_EQ(order, (std::vector<std::string>{"request", "prefetch"}));
}

}  // namespace
}  // namespace dki::kv
