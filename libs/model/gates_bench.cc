// SPDX-License-Identifier: Apache-2.0
// What token gates cost: a step of an answer with gated memories beside one without gates, and the
// reading of a message whose queries are matched with the memories' keys beside one that are not.
// The two take turns, so that a busy machine meets both; the median of all turns counts.
//
//   gates_bench MODEL [MEMORY_TOKENS] [TURNS]
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "libs/model/model.h"

namespace {

using dki::model::Chunk;
using dki::model::KeyMatch;
using dki::model::KvBuffer;
using dki::model::LayerGates;
using dki::model::Model;

constexpr int kMessage = 32;      // tokens of the user's message
constexpr int kNullTokens = 128;  // about what the null notes have

double Median(std::vector<double> seconds) {
  std::ranges::sort(seconds);
  return 1e3 * seconds[seconds.size() / 2];
}

absl::StatusOr<double> Seconds(Model* model, Chunk chunk) {
  const auto start = std::chrono::steady_clock::now();
  DKI_RETURN_IF_ERROR(model->Forward({&chunk, 1}).status());
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

absl::Status Measure(const std::string& path, int n_memory, int n_turns) {
  DKI_ASSIGN_OR_RETURN(const std::unique_ptr<Model> model, Model::Load(path, {}));
  const auto& config = model->config();
  std::vector<int32_t> tokens(std::max(n_memory, kNullTokens));
  for (size_t i = 0; i < tokens.size(); ++i)
    tokens[i] = static_cast<int32_t>((i * 7919 + 17) % config.vocab_size);
  KvBuffer memory(model->kv_shape(), 0);
  DKI_RETURN_IF_ERROR(
      Seconds(model.get(),
              {.tokens = std::span(tokens).first(n_memory), .context = &memory, .segments = {}})
          .status());
  LayerGates gates{.n_tokens = n_memory};
  gates.log_gates.assign(size_t{1} * config.n_layers * n_memory * config.n_kv_heads, -0.5f);
  const auto message = std::span<const int32_t>(tokens).first(kMessage);

  std::vector<double> reads[2];
  std::vector<double> steps[2];
  KvBuffer context(model->kv_shape(), 0);
  for (int turn = 0; turn < n_turns; ++turn) {
    for (const int gated : {turn % 2, 1 - turn % 2}) {
      context.Resize(kMessage <= context.size() ? kMessage : context.size());
      Chunk chunk{.tokens = message, .context = &context, .segments = {}};
      chunk.segments = {{.kv = &memory, .n_tokens = n_memory, .offset = -1.0 * n_memory}};
      if (gated != 0) chunk.segments[0].gates = &gates;
      if (context.size() == 0) DKI_RETURN_IF_ERROR(Seconds(model.get(), chunk).status());
      chunk.tokens = message.first(1);
      DKI_ASSIGN_OR_RETURN(const double step, Seconds(model.get(), chunk));
      steps[gated].push_back(step);
      if (turn % 8 != 0) continue;
      KvBuffer fresh(model->kv_shape(), kMessage);
      KeyMatch match;
      match.runs = {{.kv = &memory, .n_tokens = n_memory},
                    {.kv = &memory, .n_tokens = std::min(kNullTokens, n_memory)}};
      DKI_ASSIGN_OR_RETURN(const double read,
                           Seconds(model.get(), {.tokens = message,
                                                 .context = &fresh,
                                                 .segments = {},
                                                 .match = gated != 0 ? &match : nullptr}));
      reads[gated].push_back(read);
    }
  }
  std::printf("%s, %d tokens of memory, %d turns\n", model->description().c_str(), n_memory,
              n_turns);
  std::printf("step of an answer   %8.3f ms, gated   %8.3f ms\n", Median(steps[0]),
              Median(steps[1]));
  std::printf("reading the message %8.3f ms, matched %8.3f ms\n", Median(reads[0]),
              Median(reads[1]));
  return absl::OkStatus();
}

}  // namespace

int main(int argc, char** argv) {
  const int n_memory = argc > 2 ? std::atoi(argv[2]) : 256;
  const int n_turns = argc > 3 ? std::atoi(argv[3]) : 400;
  if (argc < 2 || n_memory < 1 || n_turns < 1) {
    std::fprintf(stderr, "usage: %s MODEL [MEMORY_TOKENS] [TURNS]\n", argv[0]);
    return 2;
  }
  const absl::Status status = Measure(argv[1], n_memory, n_turns);
  if (status.ok()) return 0;
  std::fprintf(stderr, "%s\n", dki::ToString(status).c_str());
  return 1;
}
