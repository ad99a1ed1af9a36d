// SPDX-License-Identifier: Apache-2.0
// Purpose: how a command is declared: its place in the command line, the options that every command
//   has, and the function that runs.
// Ownership: borrows all that it is given, which must outlive the app; may be copied.
#pragma once

#include <CLI/CLI.hpp>

#include <memory>
#include <string>
#include <utility>

#include "tools/dki/memory_commands.h"
#include "tools/dki/options.h"

namespace dki::cli {

// Options live as long as the app: the callbacks hold them.
template <typename T>
std::shared_ptr<T> Own() {
  return std::make_shared<T>();
}

class CommandBuilder {
 public:
  CommandBuilder(CLI::App* app, GlobalOptions* global, Action* action)
      : app_(app), global_(global), action_(action) {}

  CLI::App* app() const { return app_; }

  // A command that runs `action`, with the options that every command has.
  CLI::App* Command(CLI::App* parent, const std::string& name, const std::string& help, Action run,
                    bool json_is_a_flag = true) const {
    CLI::App* command = parent->add_subcommand(name, help);
    command->add_option("--data", global_->data, "The local cluster's folder ($DKI_HOME)");
    command->add_option("--address", global_->address,
                        "The orchestrator, host:port ($DKI_ADDRESS)");
    command->add_option("--key", global_->api_key, "API key ($DKI_API_KEY)");
    if (json_is_a_flag) command->add_flag("--json", global_->json, "One JSON object on stdout");
    command->callback([action = action_, run = std::move(run)] { *action = run; });
    return command;
  }
  static CLI::App* Group(CLI::App* parent, const std::string& name, const std::string& help) {
    CLI::App* group = parent->add_subcommand(name, help);
    group->require_subcommand(1);
    return group;
  }
  static void Scope(CLI::App* command, ScopeOptions* scope) {
    command->add_option("--user", scope->user, "The user");
    command->add_option("--session", scope->session, "The session");
    command->add_option("--agent", scope->agent, "The agent");
  }

 private:
  CLI::App* app_;
  GlobalOptions* global_;
  Action* action_;
};

}  // namespace dki::cli
