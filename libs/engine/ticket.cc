// SPDX-License-Identifier: Apache-2.0
#include "libs/engine/ticket.h"

namespace dki::engine {
namespace {

int64_t Microseconds(Ticket::Clock::time_point from, Ticket::Clock::time_point to) {
  if (to < from) return 0;  // never got there
  return std::chrono::duration_cast<std::chrono::microseconds>(to - from).count();
}

}  // namespace

void Ticket::PostStarted(Started started) {
  MutexLock lock(&mutex_);
  events_.started = std::move(started);
  changed_.NotifyAll();
}

void Ticket::PostText(std::string_view text) {
  if (text.empty()) return;
  MutexLock lock(&mutex_);
  events_.text += text;
  changed_.NotifyAll();
}

void Ticket::PostEnd(absl::Status status) {
  ended = Clock::now();
  MutexLock lock(&mutex_);
  status_ = std::move(status);
  events_.ended = true;
  changed_.NotifyAll();
}

Ticket::Events Ticket::Take() {
  MutexLock lock(&mutex_);
  while (!events_.started && events_.text.empty() && !events_.ended) changed_.Wait(&mutex_);
  return std::exchange(events_, {});
}

Timings Ticket::timings() const {
  return {.queue_us = Microseconds(submitted, admitted),
          .pack_us = pack_us,
          .prefill_us = Microseconds(admitted, prefilled),
          .first_token_us = Microseconds(created, prefilled),
          .total_us = Microseconds(created, ended)};
}

}  // namespace dki::engine
