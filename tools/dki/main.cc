// SPDX-License-Identifier: Apache-2.0
#include <CLI/CLI.hpp>

#include "tools/dki/cluster/layout.h"
#include "tools/dki/options.h"

int main(int argc, char** argv) {
  using namespace dki::cli;  // NOLINT(google-build-using-namespace)
  CLI::App app("Memory for language models, at the attention.", "dki");
  app.set_version_flag("--version", "dki 0.1.0");
  GlobalOptions global;
  global.data = dki::cluster::DefaultDataFolder();
  Action action;
  DeclareCommands(&app, &global, &action);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? kOk : kUsage;
  }
  Context context(global);
  const absl::Status status = action(context);
  if (!status.ok()) context.output().Error(status);
  return ExitCodeFor(status);
}
