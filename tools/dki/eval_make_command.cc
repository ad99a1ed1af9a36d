// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/eval_make_command.h"

#include <algorithm>

#include "libs/eval/make_suites.h"

namespace dki::cli {

absl::Status RunEvalMake(Context& context, const EvalMakeOptions& options) {
  DKI_ASSIGN_OR_RETURN(const std::vector<eval::MadeSuite> suites,
                       eval::MakeSuites({.seed = options.seed, .items = options.items}));
  DKI_RETURN_IF_ERROR(eval::WriteSuites(suites, options.folder));
  for (const eval::MadeSuite& suite : suites) {
    context.output().Line(
        absl::StrFormat("%s/%s.jsonl: %d items", options.folder, suite.name,
                        std::count(suite.lines.begin(), suite.lines.end(), '\n')));
  }
  return absl::OkStatus();
}

}  // namespace dki::cli
