// SPDX-License-Identifier: Apache-2.0
// Purpose: child processes, without a shell.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "libs/base/status.h"

namespace dki::cluster {

struct SpawnOptions {
  std::vector<std::string> argv;  // argv[0] is a path
  std::string log_path;           // stdout and stderr are appended to it
  std::string working_folder = "/";
  std::vector<std::string> environment;  // "NAME=value", added to ours
};

// Starts a child that gets SIGTERM when the thread that started it dies.
absl::StatusOr<pid_t> Spawn(const SpawnOptions& options);

// Runs to the end and returns what it wrote to stdout. Fails with its stderr when it exits with
// something else than 0.
absl::StatusOr<std::string> RunToEnd(const std::vector<std::string>& argv);

// Whether a process with this id exists.
bool IsAlive(pid_t pid);

// The arguments in front of a command that make root run it as the user `postgres`; none for
// others.
std::vector<std::string> AsPostgresUser();

// The folder of this program's file.
std::string OwnBinaryFolder();

}  // namespace dki::cluster
