// SPDX-License-Identifier: Apache-2.0
// What it costs a request to change its memories (libs/injection/modulation.h):
// modulation_bench MODEL FILE. On one thread, the least and the median of many runs in
// milliseconds: reading a question of 30 tokens, and changing lines of 20 tokens, 50 and 200 in
// all. A JSON list.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <vector>

#include "libs/injection/modulation.h"

namespace dki::injection {
namespace {

constexpr int kRuns = 201;
constexpr int kLine = 20;

template <typename F>
void Print(const char* what, int n_tokens, F&& run) {
  std::vector<double> times;
  for (int i = 0; i < kRuns; ++i) {
    const auto start = std::chrono::steady_clock::now();
    run();
    times.push_back(
        std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start)
            .count());
  }
  std::ranges::sort(times);
  std::printf("%s{\"what\": \"%s\", \"tokens\": %d, \"least_ms\": %.3f, \"median_ms\": %.3f}",
              n_tokens == 30 ? "[\n  " : ",\n  ", what, n_tokens, times[0], times[kRuns / 2]);
}

absl::Status Run(const std::string& path, const std::string& file) {
  DKI_ASSIGN_OR_RETURN(const auto model, model::Model::Load(path, {.n_threads = 1}));
  DKI_ASSIGN_OR_RETURN(const auto modulation, Modulation::Load(file, model->config()));
  std::vector<int32_t> question(30);
  for (int i = 0; i < 30; ++i) question[i] = i * 997 % model->config().vocab_size;
  Modulation::Question read;
  Print("question", 30, [&] { read = modulation->Read(*model, question); });

  std::vector<int32_t> line(kLine, 1);
  model::KvBuffer kv(model->kv_shape(), kLine);
  model::Chunk chunk{.tokens = line, .context = &kv, .segments = {}};
  DKI_RETURN_IF_ERROR(model->Forward({&chunk, 1}).status());
  for (const int n_tokens : {50, 200}) {
    Print("memories", n_tokens, [&] {
      for (int left = n_tokens; left > 0; left -= kLine) {
        (void)modulation->Apply(read, kv.Share(std::min(left, kLine)), 0);
      }
    });
  }
  std::printf("\n]\n");
  return absl::OkStatus();
}

}  // namespace
}  // namespace dki::injection

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: modulation_bench MODEL FILE\n");
    return 2;
  }
  const absl::Status status = dki::injection::Run(argv[1], argv[2]);
  if (!status.ok()) std::fprintf(stderr, "%s\n", dki::ToString(status).c_str());
  return status.ok() ? 0 : 1;
}
