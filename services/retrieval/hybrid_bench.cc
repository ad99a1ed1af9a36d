// SPDX-License-Identifier: Apache-2.0
// Measures what words add to a search; for tests/bench/retrieval.py.
//   hybrid_bench FILE N ROUNDS   texts on standard input, their vectors in FILE (retrieval_bench
//   embed): the first N are memories, the last 200 questions (their first six words)
// Prints one JSON object: lists have one figure per round.
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <memory>
#include <sstream>

#include "services/retrieval/hybrid_index.h"
#include "services/retrieval/scan_vector_index.h"

namespace dki::retrieval {
namespace {

constexpr int kDimension = 384;
constexpr size_t kQuestions = 200;
constexpr int kHits = 10;
constexpr int kWordsOfAQuestion = 6;
constexpr size_t kUsers = 20;  // each has its share of the memories

using Clock = std::chrono::steady_clock;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double ResidentBytes() {
  std::ifstream file("/proc/self/statm");
  double total = 0, resident = 0;
  file >> total >> resident;
  return resident * static_cast<double>(sysconf(_SC_PAGESIZE));
}

struct Data {
  std::vector<std::string> texts;
  std::vector<std::vector<float>> vectors;
};

Data Load(const char* path) {
  Data data;
  for (std::string line; std::getline(std::cin, line);) data.texts.push_back(line);
  std::ifstream file(path, std::ios::binary);
  std::vector<float> vector(kDimension);
  while (file.read(reinterpret_cast<char*>(vector.data()), kDimension * sizeof(float))) {
    data.vectors.push_back(vector);
  }
  if (data.vectors.size() == data.texts.size() && data.texts.size() > kQuestions) return data;
  std::fprintf(stderr, "%zu texts and %zu vectors do not belong together\n", data.texts.size(),
               data.vectors.size());
  std::exit(1);
}

std::unique_ptr<HybridIndex> Build(const Data& data, size_t n, bool scoped) {
  auto index = std::make_unique<HybridIndex>(std::make_unique<ScanVectorIndex>(kDimension));
  for (size_t i = 0; i < n; ++i) {
    IndexedMemory memory;
    memory.id = std::to_string(i);
    if (scoped) memory.scope.user_id = "u" + std::to_string(i % kUsers);
    if (!index->Upsert(memory, data.vectors[i], data.texts[i]).ok()) std::exit(1);
  }
  return index;
}

std::string FirstWords(const std::string& text) {
  std::istringstream words(text);
  std::string first, word;
  for (int i = 0; i < kWordsOfAQuestion && words >> word; ++i) first += word + " ";
  return first;
}

// Milliseconds per question.
double Search(const HybridIndex& index, const Data& data, const std::string& user,
              double word_weight) {
  const auto start = Clock::now();
  for (size_t q = data.texts.size() - kQuestions; q < data.texts.size(); ++q) {
    const std::vector<search::WeightedText> texts = {{FirstWords(data.texts[q]), 1}};
    HybridIndex::Query query;
    query.vector = data.vectors[q];
    query.words = search::MakeWordQuery(texts);
    query.k = kHits;
    query.filter.scope.user_id = user;
    query.ranking.word_weight = word_weight;
    if (!index.Search(query).ok()) std::exit(1);
  }
  return MillisecondsSince(start) / kQuestions;
}

void Print(const char* name, const std::vector<double>& figures, const char* end) {
  std::printf("\"%s\": [", name);
  for (size_t i = 0; i < figures.size(); ++i) std::printf("%s%.6g", i == 0 ? "" : ", ", figures[i]);
  std::printf("]%s", end);
}

int Run(const char* path, size_t n, int n_rounds) {
  const Data data = Load(path);
  const double before = ResidentBytes();
  auto start = Clock::now();
  const auto all = Build(data, n, false);
  const double add_us = 1000 * MillisecondsSince(start) / static_cast<double>(n);
  const double bytes = (ResidentBytes() - before) / static_cast<double>(n);
  const auto scoped = Build(data, n, true);
  const double weight = search::RankingOptions().word_weight;
  std::vector<double> meaning_ms, hybrid_ms, user_ms;
  for (int round = 0; round < n_rounds; ++round) {
    meaning_ms.push_back(Search(*all, data, "", 0));
    hybrid_ms.push_back(Search(*all, data, "", weight));
    user_ms.push_back(Search(*scoped, data, "u7", weight));
  }
  std::printf("{");
  Print("add_us", {add_us}, ", ");
  Print("bytes_per_memory", {bytes}, ", ");
  Print("meaning_ms", meaning_ms, ", ");
  Print("hybrid_ms", hybrid_ms, ", ");
  Print("hybrid_user_ms", user_ms, "}\n");
  return 0;
}

}  // namespace
}  // namespace dki::retrieval

int main(int argc, char** argv) {
  if (argc == 4) {
    return dki::retrieval::Run(argv[1], static_cast<size_t>(std::atoi(argv[2])),
                               std::atoi(argv[3]));
  }
  std::fprintf(stderr, "usage: hybrid_bench FILE N ROUNDS < texts\n");
  return 2;
}
