// SPDX-License-Identifier: Apache-2.0
// Purpose: connections to a Valkey or Redis server (RESP2 through hiredis), each used by one call
//   at a time and then kept for the next. A server that is away costs a caller one timeout; after
//   that nobody asks it for a while, and then one caller tries again (a circuit breaker).
//   No TLS: hiredis 0.14 has none. Run it on a private network, or behind a local TLS proxy.
// Thread-safety: thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libs/base/mutex.h"
#include "libs/base/status.h"

struct redisContext;

namespace dki::kvcache {

class RedisPool {
 public:
  struct Options {
    std::string address;        // "host:port" or "unix:PATH"
    std::string password = {};  // empty: none
    // Of connecting, and of each read and write on the socket.
    std::chrono::milliseconds timeout{250};
    // After a failure nobody asks for so long.
    std::chrono::milliseconds rest{5000};
    size_t max_idle = 8;
  };
  struct Reply {
    bool is_nil = false;
    int64_t integer = 0;
    std::string text;
    std::vector<Reply> elements;
  };
  using Command = std::vector<std::string_view>;

  explicit RedisPool(Options options);
  ~RedisPool();
  RedisPool(const RedisPool&) = delete;
  RedisPool& operator=(const RedisPool&) = delete;

  // Sends the commands in one go; their replies in order. UNAVAILABLE: the server is away, or
  // resting. RESOURCE_EXHAUSTED: it is full. INTERNAL: it refused one of them.
  // REQUIRES: commands may be run twice (a connection that was kept may turn out to be closed).
  absl::StatusOr<std::vector<Reply>> Run(const std::vector<Command>& commands);

  // False while the breaker is open.
  bool IsUp() const;

 private:
  struct Close {
    void operator()(redisContext* context) const;
  };
  using Connection = std::unique_ptr<redisContext, Close>;

  absl::StatusOr<Connection> Connect() const;
  // Null: none is idle. UNAVAILABLE while it rests.
  absl::StatusOr<Connection> TakeIdle();
  void GiveBack(Connection connection);
  void Rest();

  const Options options_;
  mutable Mutex mutex_;
  std::vector<Connection> idle_ ABSL_GUARDED_BY(mutex_);
  bool away_ ABSL_GUARDED_BY(mutex_) = false;
  std::chrono::steady_clock::time_point rest_until_ ABSL_GUARDED_BY(mutex_);
};

}  // namespace dki::kvcache
