// SPDX-License-Identifier: Apache-2.0
// The wall clock as a dependency, so that tests decide what time it is. Thread-safety: thread-safe.
#pragma once

#include "absl/time/time.h"
#include "libs/base/mutex.h"

namespace dki {

class Clock {
 public:
  virtual ~Clock() = default;
  virtual absl::Time Now() const = 0;
};

// The system's clock; lives for ever.
const Clock* RealClock();

// Stands still until told otherwise.
class FakeClock : public Clock {
 public:
  explicit FakeClock(absl::Time now = absl::FromUnixSeconds(1'700'000'000)) : now_(now) {}

  absl::Time Now() const override;
  void Set(absl::Time now);
  void Advance(absl::Duration by);

 private:
  mutable Mutex mutex_;
  absl::Time now_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki
