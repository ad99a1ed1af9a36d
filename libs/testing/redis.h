// SPDX-License-Identifier: Apache-2.0
// Purpose: a private redis-server for tests that need a real one. It listens on a unix socket in a
//   temporary folder only, keeps nothing, and ends with the test process, however that ends.
// Thread-safety: one thread.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "libs/testing/temp_dir.h"

namespace dki::testing {

class TestRedis {
 public:
  // `arguments`: more of redis-server's. Stops the process when it does not start.
  explicit TestRedis(std::vector<std::string> arguments = {});
  ~TestRedis() { Stop(); }
  TestRedis(const TestRedis&) = delete;

  // As RedisPool wants it.
  std::string address() const { return "unix:" + socket(); }

  // Fault injection. Start (again) begins empty.
  void Start();
  void Stop();  // SIGKILL
  // It no longer answers, but the socket is there.
  void Pause();
  void Resume();

 private:
  std::string socket() const { return folder_.File("redis.sock"); }

  TempDir folder_;
  const std::vector<std::string> arguments_;
  pid_t pid_ = -1;
};

}  // namespace dki::testing
