// SPDX-License-Identifier: Apache-2.0
// Sentences per second of the embedder: embedder_bench FOLDER THREADS. Prints the median of runs
// over 64 sentences of about 12 word pieces, one by one (as on the write path) and together (as in
// an import).
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "libs/model/embedder.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    std::fprintf(stderr, "usage: embedder_bench FOLDER THREADS\n");
    return 2;
  }
  const auto embedder = dki::model::Embedder::Load(argv[1], std::atoi(argv[2]));
  if (!embedder.ok()) {
    std::fprintf(stderr, "%s\n", dki::ToString(embedder.status()).c_str());
    return 1;
  }
  std::vector<std::string> texts;
  for (int i = 0; i < 64; ++i) {
    texts.push_back("My friend number " + std::to_string(i) +
                    " lives in Lisbon and likes green tea.");
  }
  const auto measure = [&](const char* name, auto&& run) {
    std::vector<double> seconds;
    for (int round = 0; round < 7; ++round) {
      const auto start = std::chrono::steady_clock::now();
      run();
      seconds.push_back(
          std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    std::nth_element(seconds.begin(), seconds.begin() + 3, seconds.end());
    std::printf("%s: %.0f sentences/s\n", name, texts.size() / seconds[3]);
  };
  measure("one by one", [&] {
    for (const std::string& text : texts) (void)(*embedder)->Embed({text});
  });
  measure("together", [&] { (void)(*embedder)->Embed(texts); });
  return 0;
}
