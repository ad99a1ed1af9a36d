// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/eval_command.h"

#include <fstream>
#include <unordered_map>

#include "absl/time/clock.h"
#include "absl/time/time.h"
#include "libs/base/file.h"
#include "libs/eval/local_source.h"
#include "libs/eval/report.h"
#include "tools/dki/cluster/layout.h"
#include "tools/dki/eval_cluster.h"

namespace dki::cli {
namespace {

absl::StatusOr<std::vector<eval::Suite>> ReadSuites(const EvalOptions& options) {
  const auto paths = eval::FindSuites(options.suite);
  // Absent data is a reason to skip, not an error of the product: exit code 3.
  if (!paths.ok()) return Unavailable("%s", paths.status().message());
  std::vector<eval::Suite> suites;
  for (const std::string& path : *paths) {
    DKI_ASSIGN_OR_RETURN(eval::Suite suite,
                         eval::ReadSuite(path, {.skip = options.skip, .n = options.n}));
    suites.push_back(std::move(suite));
  }
  return suites;
}

// Results of an earlier run, by suite, item and arm.
class KnownResults {
 public:
  void Read(const std::string& path) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
      auto known = eval::ParseRawLine(line);
      if (!known.ok()) continue;  // the last line of a run that was stopped may be cut
      results_[Key(known->suite, known->id, known->arm)] = std::move(known->result);
    }
  }
  const eval::ItemResult* Find(const std::string& suite, const std::string& id,
                               const std::string& arm) const {
    const auto found = results_.find(Key(suite, id, arm));
    return found == results_.end() ? nullptr : &found->second;
  }

 private:
  static std::string Key(const std::string& suite, const std::string& id, const std::string& arm) {
    return suite + '\0' + id + '\0' + arm;
  }
  std::unordered_map<std::string, eval::ItemResult> results_;
};

}  // namespace

absl::Status RunEval(Context& context, const EvalOptions& options) {
  DKI_ASSIGN_OR_RETURN(const std::vector<eval::Arm> arms, eval::ParseArms(options.arms));
  DKI_ASSIGN_OR_RETURN(const std::vector<eval::Suite> suites, ReadSuites(options));
  std::unique_ptr<eval::AnswerSource> source;
  if (options.local) {
    DKI_ASSIGN_OR_RETURN(
        source,
        eval::MakeLocalSource(
            {.models = options.models.empty() ? cluster::DefaultModelFolder() : options.models,
             .model = options.model,
             .kl = options.kl},
            arms));
  } else {
    DKI_ASSIGN_OR_RETURN(auto* stub, context.api());
    source = MakeClusterSource(&context, stub);
  }

  const Output& output = context.output();
  eval::RunOptions run;
  const absl::Time start = absl::Now();
  run.progress = [&](int done, int total) {
    const double seconds = absl::ToDoubleSeconds(absl::Now() - start);
    output.Progress(absl::StrFormat("[%-30s] %d of %d items, %.0f s left",
                                    std::string(static_cast<size_t>(30) * done / total, '#'), done,
                                    total, seconds / done * (total - done)));
  };
  std::ofstream raw;
  KnownResults known;
  if (!options.json_file.empty()) {
    const std::string path = options.json_file + ".items.jsonl";
    if (options.resume) known.Read(path);
    raw.open(path, options.resume ? std::ios::app : std::ios::trunc);
    if (!raw) return InvalidArgument("cannot write %s", path);
    run.raw = [&raw](const std::string& line) { raw << line << std::endl; };
    run.known = [&known](const auto&... names) { return known.Find(names...); };
  }
  const auto results = eval::Run(suites, arms, source.get(), run);
  output.Progress("");
  DKI_RETURN_IF_ERROR(results.status());

  output.Table(eval::ReportTable(*results, arms));
  const eval::Comparison c = eval::Compare(*results, arms);
  if (!c.injected.empty()) {
    output.Line(
        absl::StrFormat("%s answers %d, %s %d: %.2f times as many (only the one right %d, only the "
                        "other %d, p = %.2g)",
                        c.injected, c.injected_right, c.prompt, c.prompt_right, c.ratio,
                        c.only_injected, c.only_prompt, c.p_value));
  }
  if (options.json_file.empty()) return absl::OkStatus();
  return WriteFileAtomically(options.json_file, eval::ReportJson(*results, arms));
}

}  // namespace dki::cli
