// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/eval_make_command.h"

#include <algorithm>

#include "libs/eval/make_suites.h"
#include "libs/eval/make_texts.h"

namespace dki::cli {

namespace {

absl::StatusOr<std::vector<eval::MadeSuite>> Make(const EvalMakeOptions& options) {
  if (options.from.empty()) return eval::MakeSuites({.seed = options.seed, .items = options.items});
  return eval::MakeFromTexts(options.from, {.seed = options.seed,
                                            .items = options.items,
                                            .memories = options.memories,
                                            .name = options.name,
                                            .category = options.category,
                                            .without = options.without});
}

}  // namespace

absl::Status RunEvalMake(Context& context, const EvalMakeOptions& options) {
  DKI_ASSIGN_OR_RETURN(const std::vector<eval::MadeSuite> suites, Make(options));
  DKI_RETURN_IF_ERROR(eval::WriteSuites(suites, options.folder));
  for (const eval::MadeSuite& suite : suites) {
    context.output().Line(
        absl::StrFormat("%s/%s.jsonl: %d items", options.folder, suite.name,
                        std::count(suite.lines.begin(), suite.lines.end(), '\n')));
  }
  return absl::OkStatus();
}

}  // namespace dki::cli
