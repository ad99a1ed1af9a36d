// SPDX-License-Identifier: Apache-2.0
#include "tools/dki/eval_retrieve_command.h"

#include <filesystem>

#include "libs/base/file.h"
#include "libs/eval/store_report.h"
#include "tools/dki/cluster/layout.h"

namespace dki::cli {
namespace {

constexpr char kEmbeddingModel[] = "all-MiniLM-L6-v2";

// The command without the folders that its files lie in here.
std::string CommandLine(const EvalRetrieveOptions& options) {
  std::string line = "dki eval retrieve";
  for (const std::string& suite : options.suites) {
    line += " --suite " + std::filesystem::path(suite + "/").parent_path().filename().string();
  }
  if (options.cross_validate) line += " --cross-validate";
  if (options.turns) line += " --turns";
  return line;
}

absl::StatusOr<eval::StoreReport> Measure(const Output& output, const eval::StoreSuite& suite,
                                          const std::vector<eval::Method>& methods,
                                          bool cross_validate, model::Embedder* embedder,
                                          eval::KnownVectors* known) {
  const auto vectors = eval::EmbedStores(suite, embedder, known, [&](int done, int total) {
    output.Progress(absl::StrFormat("%s: [%-30s] %d of %d texts", suite.name,
                                    std::string(static_cast<size_t>(30) * done / total, '#'), done,
                                    total));
  });
  output.Progress("");
  DKI_RETURN_IF_ERROR(vectors.status());
  eval::StoreReport report;
  DKI_ASSIGN_OR_RETURN(report.result, eval::RunStoreSuite(suite, *vectors, methods));
  if (cross_validate && suite.stores.size() > 1) {
    DKI_ASSIGN_OR_RETURN(report.cross_validation, eval::CrossValidate(suite, *vectors));
  }
  return report;
}

}  // namespace

absl::Status RunEvalRetrieve(Context& context, const EvalRetrieveOptions& options) {
  std::vector<eval::StoreSuite> suites;
  for (const std::string& path : options.suites) {
    auto suite = eval::ReadStoreSuite(path);
    // Absent data is a reason to skip, not an error of the product: exit code 3.
    if (absl::IsNotFound(suite.status())) return Unavailable("%s", suite.status().message());
    DKI_RETURN_IF_ERROR(suite.status());
    suites.push_back(*std::move(suite));
  }
  const std::string models =
      options.models.empty() ? cluster::DefaultModelFolder() : options.models;
  DKI_ASSIGN_OR_RETURN(const auto embedder,
                       model::Embedder::Load(models + "/" + kEmbeddingModel, /*n_threads=*/0));

  const Output& output = context.output();
  std::vector<eval::StoreReport> reports;
  for (const eval::StoreSuite& suite : suites) {
    eval::KnownVectors known;
    DKI_ASSIGN_OR_RETURN(auto report, Measure(output, suite, eval::StandardMethods(),
                                              options.cross_validate, embedder.get(), &known));
    reports.push_back(std::move(report));
    if (!options.turns) continue;
    for (const eval::StoreSuite& talk :
         {eval::LeanOnTurns(suite), eval::AsFollowUps(suite), eval::AfterOtherTopics(suite)}) {
      if (talk.stores.empty()) continue;
      DKI_ASSIGN_OR_RETURN(
          report, Measure(output, talk, eval::TurnMethods(), false, embedder.get(), &known));
      reports.push_back(std::move(report));
    }
  }

  output.Table(eval::StoreTable(reports));
  for (const eval::StoreReport& report : reports) {
    for (const std::string& line : eval::ComparisonLines(report)) output.Line(line);
  }
  if (!options.markdown_file.empty()) {
    DKI_RETURN_IF_ERROR(WriteFileAtomically(options.markdown_file,
                                            eval::StoreMarkdown(reports, CommandLine(options))));
  }
  if (options.json_file.empty()) return absl::OkStatus();
  return WriteFileAtomically(options.json_file, eval::StoreJson(reports));
}

}  // namespace dki::cli
