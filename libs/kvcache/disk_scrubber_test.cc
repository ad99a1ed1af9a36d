// SPDX-License-Identifier: Apache-2.0
#include "libs/kvcache/disk_scrubber.h"

#include <gmock/gmock.h>

#include <atomic>

#include "absl/time/clock.h"

namespace dki::kvcache {
namespace {

constexpr std::chrono::hours kNever{1};
constexpr DiskScrubber::Options kAtOnce{std::chrono::milliseconds(0), kNever,
                                        std::chrono::milliseconds(0)};

void WaitFor(const std::function<bool()>& condition) {
  while (!condition()) std::this_thread::yield();
}

TEST(DiskScrubberTest, WhatWasErasedIsGoneAfterTheRewriteThatFollows) {
  std::atomic<int> n = 0;
  DiskScrubber scrubber(
      [&] {
        ++n;
        return absl::OkStatus();
      },
      false, kAtOnce);
  const absl::Time erased = absl::Now();
  EXPECT_FALSE(scrubber.GoneTime(erased)) << "an earlier process may have left it";
  scrubber.OnErasure();
  WaitFor([&] { return scrubber.GoneTime(erased).has_value(); });
  EXPECT_EQ(n, 1);
  EXPECT_GE(*scrubber.GoneTime(erased), erased);
  EXPECT_FALSE(scrubber.IsPending());
  // Nothing dead has come since: a later erasure finds the files clean.
  scrubber.OnWrite(false);
  const absl::Time later = absl::Now();
  scrubber.OnErasure();
  EXPECT_TRUE(scrubber.GoneTime(later));
  EXPECT_FALSE(scrubber.IsPending());
  // And when something was dropped meanwhile it does not.
  scrubber.OnWrite(true);
  EXPECT_FALSE(scrubber.GoneTime(absl::Now()));
  scrubber.OnErasure();
  WaitFor([&] { return n == 2; });
}

TEST(DiskScrubberTest, ItWaitsForQuietUnlessItIsNeverQuiet) {
  std::atomic<int> n = 0;
  const auto rewrite = [&] {
    ++n;
    return absl::OkStatus();
  };
  {
    DiskScrubber scrubber(rewrite, true, {kNever, kNever, kNever});
    scrubber.OnErasure();
    EXPECT_TRUE(scrubber.IsPending());
  }
  EXPECT_EQ(n, 0);
  DiskScrubber scrubber(rewrite, true, {kNever, std::chrono::milliseconds(1), kNever});
  WaitFor([&] { return n == 1; });
}

TEST(DiskScrubberTest, AFailureIsTriedAgain) {
  std::atomic<int> n = 0;
  DiskScrubber scrubber(
      [&] { return ++n < 3 ? absl::UnavailableError("disk full") : absl::OkStatus(); }, true,
      kAtOnce);
  WaitFor([&] { return !scrubber.IsPending() && n == 3; });
}

TEST(DiskScrubberTest, WhatIsErasedDuringARewriteWaitsForTheNext) {
  std::atomic<int> n = 0;
  DiskScrubber* self = nullptr;
  std::atomic<bool> is_set = false;
  DiskScrubber scrubber(
      [&] {
        WaitFor([&] { return is_set.load(); });
        if (++n == 1) {
          self->OnWrite(true);
          self->OnErasure();
        }
        return absl::OkStatus();
      },
      true, kAtOnce);
  self = &scrubber;
  EXPECT_FALSE(scrubber.GoneTime(absl::Now())) << "it has only begun";
  is_set = true;
  WaitFor([&] { return n == 2; });
}

}  // namespace
}  // namespace dki::kvcache
