// SPDX-License-Identifier: Apache-2.0
// Purpose: the command line as a whole: which commands there are, what they take, which function
// runs.
#pragma once

#include <functional>

#include "tools/dki/context.h"

namespace CLI {
class App;
}

namespace dki::cli {

// What the chosen command does, set while the command line is read.
using Action = std::function<absl::Status(Context&)>;

// Declares every command on `app`; parsing then sets `*global` and `*action`.
void DeclareCommands(CLI::App* app, GlobalOptions* global, Action* action);

// The whole program: reads the command line, runs the command, says what went wrong. Returns the
// exit code.
int RunCommandLine(int argc, const char* const* argv);

// Completion script of a shell, made from the declared commands. INVALID_ARGUMENT for an unknown
// shell.
absl::StatusOr<std::string> CompletionScript(const CLI::App& app, const std::string& shell);

}  // namespace dki::cli
