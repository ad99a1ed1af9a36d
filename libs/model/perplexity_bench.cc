// SPDX-License-Identifier: Apache-2.0
// What number formats cost in quality: perplexity of a text under the formats given, each against
// the first. Texts are cut into windows that start afresh.
//   perplexity_bench --model FILE --text FILE [--windows N] [--tokens N] [--threads N]
//                    [--isa NAME] [--activations LIST] [--kv-keys LIST] [--kv-values LIST] [--json]
// Lists are separated by commas and run through in order: all activations with the first K/V
// format, then, with the first activations, keys alone, values alone, and both. K/V formats as
// ModelOptions::kv_format has them: f32, f16, bf16, int8, int4, int2, keys also as int4:token.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "libs/model/model.h"
#include "libs/model/tokenizer.h"

namespace {

using dki::model::Chunk;
using dki::model::KvBuffer;
using dki::model::LogitsWanted;
using dki::model::Model;

struct Flags {
  std::string model;
  std::string text;
  int windows = 32;
  int tokens = 512;
  int threads = 0;
  std::string isa = "auto";
  std::vector<std::string> activations = {"auto"};
  std::vector<std::string> keys = {"f16"};
  std::vector<std::string> values = {"f16"};
  bool json = false;
};

std::vector<std::string> Split(const std::string& list) {
  std::vector<std::string> items;
  std::stringstream stream(list);
  for (std::string item; std::getline(stream, item, ',');) items.push_back(item);
  return items;
}

bool Parse(int argc, char** argv, Flags* flags) {
  for (int i = 1; i < argc; ++i) {
    const std::string_view name = argv[i];
    if (name == "--json") {
      flags->json = true;
      continue;
    }
    if (++i == argc) return false;
    const char* value = argv[i];
    if (name == "--model")
      flags->model = value;
    else if (name == "--text")
      flags->text = value;
    else if (name == "--windows")
      flags->windows = std::atoi(value);
    else if (name == "--tokens")
      flags->tokens = std::atoi(value);
    else if (name == "--threads")
      flags->threads = std::atoi(value);
    else if (name == "--isa")
      flags->isa = value;
    else if (name == "--activations")
      flags->activations = Split(value);
    else if (name == "--kv-keys")
      flags->keys = Split(value);
    else if (name == "--kv-values")
      flags->values = Split(value);
    else
      return false;
  }
  return !flags->model.empty() && !flags->text.empty() && flags->windows > 0 && flags->tokens > 1 &&
         !flags->activations.empty() && !flags->keys.empty() && !flags->values.empty();
}

struct Run {
  std::string activations;
  std::string kv_format;
  bool operator==(const Run&) const = default;
};

std::vector<Run> Plan(const Flags& flags) {
  std::vector<Run> runs;
  const std::string first = flags.keys[0] + "/" + flags.values[0];
  for (const std::string& a : flags.activations) runs.push_back({a, first});
  for (size_t i = 1; i < flags.keys.size(); ++i)
    runs.push_back({flags.activations[0], flags.keys[i] + "/" + flags.values[0]});
  for (size_t i = 1; i < flags.values.size(); ++i)
    runs.push_back({flags.activations[0], flags.keys[0] + "/" + flags.values[i]});
  for (size_t i = 1; i < std::min(flags.keys.size(), flags.values.size()); ++i)
    runs.push_back({flags.activations[0], flags.keys[i] + "/" + flags.values[i]});
  std::vector<Run> once;
  for (const Run& run : runs)
    if (std::find(once.begin(), once.end(), run) == once.end()) once.push_back(run);
  return once;
}

// -ln p(token) of a row of logits.
double Surprise(const float* logits, int n, int token) {
  const float max = *std::max_element(logits, logits + n);
  double sum = 0;
  for (int i = 0; i < n; ++i) sum += std::exp(static_cast<double>(logits[i]) - max);
  return std::log(sum) + max - logits[token];
}

// Of each predicted token, in order.
absl::StatusOr<std::vector<double>> Surprises(const Flags& flags, const Run& run,
                                              const std::vector<int32_t>& text) {
  dki::model::ModelOptions options;
  options.n_threads = flags.threads;
  options.isa = flags.isa;
  options.activations = run.activations;
  options.kv_format = run.kv_format;
  DKI_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, Model::Load(flags.model, options));
  const int vocabulary = model->config().vocab_size;
  std::vector<double> surprises;
  for (size_t at = 0; at + flags.tokens <= text.size(); at += flags.tokens) {
    KvBuffer context(model->kv_shape(), flags.tokens);
    Chunk chunk;
    chunk.tokens = std::span(text).subspan(at, flags.tokens);
    chunk.context = &context;
    chunk.logits = LogitsWanted::kAll;
    DKI_ASSIGN_OR_RETURN(const std::vector<float> logits, model->Forward({&chunk, 1}));
    for (int i = 0; i + 1 < flags.tokens; ++i)
      surprises.push_back(Surprise(logits.data() + static_cast<size_t>(i) * vocabulary, vocabulary,
                                   text[at + i + 1]));
  }
  return surprises;
}

double Mean(const std::vector<double>& x) {
  double sum = 0;
  for (double v : x) sum += v;
  return sum / static_cast<double>(x.size());
}

absl::Status Measure(const Flags& flags) {
  std::ifstream file(flags.text, std::ios::binary);
  std::stringstream content;
  content << file.rdbuf();
  if (!file) return dki::NotFound("%s cannot be read", flags.text);
  DKI_ASSIGN_OR_RETURN(const std::unique_ptr<dki::model::Tokenizer> tokenizer,
                       dki::model::Tokenizer::Load(flags.model));
  const size_t n = static_cast<size_t>(flags.windows) * flags.tokens;
  // A token is a byte at least and seldom more than 16.
  std::vector<int32_t> text = tokenizer->Encode(content.str().substr(0, 16 * n));
  text.resize(std::min(text.size(), n));
  std::vector<double> base;
  std::string separator = "[";
  for (const Run& run : Plan(flags)) {
    DKI_ASSIGN_OR_RETURN(const std::vector<double> surprises, Surprises(flags, run, text));
    if (surprises.empty()) return dki::InvalidArgument("%s is too short", flags.text);
    if (base.empty()) base = surprises;
    // The change and its standard error, over the same tokens: in ln, so a ratio.
    double square = 0;
    const double change = Mean(surprises) - Mean(base);
    for (size_t i = 0; i < base.size(); ++i) square += std::pow(surprises[i] - base[i] - change, 2);
    const double error = std::sqrt(square) / static_cast<double>(base.size());
    const double percent = 100 * std::expm1(change);
    if (flags.json) {
      std::printf(
          "%s{\"activations\": \"%s\", \"kv_format\": \"%s\", \"tokens\": %zu, "
          "\"perplexity\": %.5g, \"change_percent\": %.4f, \"error_percent\": %.4f}",
          separator.c_str(), run.activations.c_str(), run.kv_format.c_str(), base.size(),
          std::exp(Mean(surprises)), percent, 100 * error);
      separator = ",\n ";
    } else {
      std::printf("%-6s %-28s perplexity %8.4f  %+7.3f %% (+- %.3f)\n", run.activations.c_str(),
                  run.kv_format.c_str(), std::exp(Mean(surprises)), percent, 100 * error);
    }
    std::fflush(stdout);
  }
  if (flags.json) std::printf("]\n");
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  Flags flags;
  if (!Parse(argc, argv, &flags)) {
    std::fprintf(stderr,
                 "usage: %s --model FILE --text FILE [--windows N] [--tokens N] [--threads N]\n"
                 "       [--isa NAME] [--activations LIST] [--kv-keys LIST] [--kv-values LIST] "
                 "[--json]\n",
                 argv[0]);
    return 2;
  }
  const absl::Status status = Measure(flags);
  if (!status.ok()) {
    std::fprintf(stderr, "%s\n", dki::ToString(status).c_str());
    return 1;
  }
  return 0;
}
