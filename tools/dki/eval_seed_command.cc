// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/eval_seed_command.h"

#include "libs/base/file.h"
#include "libs/eval/local_source.h"
#include "libs/eval/seed_experiments.h"
#include "tools/dki/cluster/layout.h"
#include "tools/dki/eval_cluster.h"

namespace dki::cli {

absl::Status RunEvalSeed(Context& context, const EvalSeedOptions& options) {
  DKI_ASSIGN_OR_RETURN(const eval::SeedExperiment experiment,
                       eval::MakeSeedExperiment(options.name, options.seed, options.items));
  DKI_ASSIGN_OR_RETURN(const std::vector<eval::Arm> arms, eval::ParseArms(experiment.arms));
  std::unique_ptr<eval::AnswerSource> source;
  if (options.local) {
    eval::LocalOptions local;
    local.models = options.models.empty() ? cluster::DefaultModelFolder() : options.models;
    local.model = options.model;
    DKI_ASSIGN_OR_RETURN(source, eval::MakeLocalSource(local, arms));
  } else {
    DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
    source = MakeClusterSource(&context, stub);
  }

  const Output& output = context.output();
  std::vector<eval::KnownResult> results;
  absl::Status unread;
  eval::RunOptions run;
  run.parallel = 1;  // times to the first token are of a server that does nothing else
  run.raw = [&](const std::string& line) {
    auto known = eval::ParseRawLine(line);
    if (known.ok()) {
      results.push_back(*std::move(known));
    } else {
      unread = known.status();
    }
  };
  run.progress = [&](int done, int total) {
    output.Progress(absl::StrFormat("%d of %d items", done, total));
  };
  const auto sums = eval::Run(experiment.suites, arms, source.get(), run);
  output.Progress("");
  DKI_RETURN_IF_ERROR(sums.status());
  DKI_RETURN_IF_ERROR(unread);

  const auto scores = eval::ScoreSeedExperiment(experiment, results);
  output.Table(eval::SeedScoresTable(scores));
  if (options.json_file.empty()) return absl::OkStatus();
  return WriteFileAtomically(options.json_file, eval::SeedScoresJson(options.name, scores));
}

}  // namespace dki::cli
