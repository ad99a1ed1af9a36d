// SPDX-License-Identifier: Apache-2.0
// Measures search beside FAISS's flat index, and the embedder; for tests/bench/retrieval.py.
//   retrieval_bench embed FOLDER FILE    lines of standard input -> float32 vectors in FILE
//   retrieval_bench speed FOLDER ROUNDS  sentences of standard input, one by one and together
//   retrieval_bench search FILE N ROUNDS [SHARE]  the first N vectors of FILE, queried with the
//   last 200
// Prints one JSON object: lists have one figure per round, taken in turns.
#include <faiss/IndexFlat.h>
#include <omp.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <iostream>
#include <memory>

#include "libs/model/embedder.h"
#include "services/retrieval/scan_vector_index.h"

namespace dki::retrieval {
namespace {

constexpr int kDimension = 384;
constexpr int kQueries = 200;
constexpr int kHits = 10;
constexpr int kUsers = 20;  // each has its share of the memories

using Clock = std::chrono::steady_clock;
using Figures = std::vector<double>;

double MillisecondsSince(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

class JsonObject {
 public:
  JsonObject() { std::printf("{"); }
  ~JsonObject() { std::printf("}\n"); }
  void Add(const char* name, const Figures& figures) {
    std::printf("%s\"%s\": [", separator_, name);
    for (size_t i = 0; i < figures.size(); ++i)
      std::printf("%s%.6g", i == 0 ? "" : ", ", figures[i]);
    std::printf("]");
    separator_ = ", ";
  }
  void Add(const char* name, double figure) { Add(name, Figures{figure}); }

 private:
  const char* separator_ = "";
};

std::vector<std::string> ReadLines() {
  std::vector<std::string> lines;
  for (std::string line; std::getline(std::cin, line);) lines.push_back(line);
  return lines;
}

std::unique_ptr<model::Embedder> LoadEmbedder(const char* folder) {
  auto embedder = model::Embedder::Load(folder, 0);
  if (embedder.ok()) return *std::move(embedder);
  std::fprintf(stderr, "%s\n", ToString(embedder.status()).c_str());
  std::exit(1);
}

int Embed(const char* folder, const char* path) {
  const auto embedder = LoadEmbedder(folder);
  const std::vector<std::string> lines = ReadLines();
  std::ofstream file(path, std::ios::binary);
  constexpr size_t kTogether = 256;
  for (size_t first = 0; first < lines.size(); first += kTogether) {
    const size_t end = std::min(lines.size(), first + kTogether);
    const auto vectors = embedder->Embed({lines.begin() + static_cast<std::ptrdiff_t>(first),
                                          lines.begin() + static_cast<std::ptrdiff_t>(end)});
    for (const std::vector<float>& vector : vectors.value())
      file.write(reinterpret_cast<const char*>(vector.data()), kDimension * sizeof(float));
    if (first % (40 * kTogether) == 0) std::fprintf(stderr, "%zu of %zu\n", end, lines.size());
  }
  return file.good() ? 0 : 1;
}

int Speed(const char* folder, int n_rounds) {
  const auto embedder = LoadEmbedder(folder);
  const std::vector<std::string> texts = ReadLines();
  Figures one_by_one;
  Figures together;
  for (int round = 0; round < n_rounds; ++round) {
    auto start = Clock::now();
    for (const std::string& text : texts) embedder->Embed({text}).value();
    one_by_one.push_back(MillisecondsSince(start) / static_cast<double>(texts.size()));
    start = Clock::now();
    embedder->Embed(texts).value();
    together.push_back(MillisecondsSince(start) / static_cast<double>(texts.size()));
  }
  JsonObject json;
  json.Add("embed_one_ms", one_by_one);
  json.Add("embed_batch_ms", together);
  return 0;
}

struct Data {
  std::vector<float> vectors;  // [n, kDimension]
  std::vector<float> queries;  // [kQueries, kDimension]

  std::span<const float> Vector(int i) const {
    return std::span(vectors).subspan(size_t{1} * i * kDimension, kDimension);
  }
  std::span<const float> Query(int i) const {
    return std::span(queries).subspan(size_t{1} * i * kDimension, kDimension);
  }
};

Data Load(const char* path, int n) {
  std::ifstream file(path, std::ios::binary);
  Data data;
  data.vectors.resize(size_t{1} * n * kDimension);
  data.queries.resize(size_t{1} * kQueries * kDimension);
  const auto read = [&](std::vector<float>* values) {
    file.read(reinterpret_cast<char*>(values->data()),
              static_cast<std::streamsize>(values->size() * sizeof(float)));
  };
  read(&data.vectors);
  file.seekg(-static_cast<std::streamoff>(data.queries.size() * sizeof(float)), std::ios::end);
  read(&data.queries);
  if (file.good()) return data;
  std::fprintf(stderr, "%s has fewer than %d vectors\n", path, n);
  std::exit(1);
}

IndexedMemory Memory(int i) {
  IndexedMemory memory;
  memory.id = std::to_string(i);
  memory.scope.user_id = "u" + std::to_string(i % kUsers);
  return memory;
}

SearchFilter Everybody() {
  SearchFilter filter;
  filter.now = absl::UnixEpoch();
  return filter;
}

using Found = std::vector<std::vector<std::string>>;  // ids, by query

// Everything of the n memories without a scope, so that one search sees all; `scoped`: by users.
std::unique_ptr<ScanVectorIndex> Build(const Data& data, int n, bool scoped,
                                       ScanVectorIndex::Options options) {
  auto index = std::make_unique<ScanVectorIndex>(kDimension, options);
  for (int i = 0; i < n; ++i) {
    IndexedMemory memory = Memory(i);
    if (!scoped) memory.scope = {};
    if (!index->Upsert(memory, data.Vector(i)).ok()) std::exit(1);
  }
  return index;
}

// Milliseconds per query.
double Search(const ScanVectorIndex& index, const Data& data, const SearchFilter& filter,
              Found* found) {
  found->assign(kQueries, {});
  const auto start = Clock::now();
  for (int q = 0; q < kQueries; ++q) {
    const auto hits = index.Search(data.Query(q), kHits, std::nullopt, filter).value();
    for (const Hit& hit : hits) (*found)[static_cast<size_t>(q)].push_back(hit.memory_id);
  }
  return MillisecondsSince(start) / kQueries;
}

double SearchFlat(const faiss::IndexFlatIP& index, const Data& data, Found* found) {
  found->assign(kQueries, {});
  std::vector<float> cosines(kHits);
  std::vector<faiss::Index::idx_t> labels(kHits);
  const auto start = Clock::now();
  for (int q = 0; q < kQueries; ++q) {
    index.search(1, data.Query(q).data(), kHits, cosines.data(), labels.data());
    for (const auto label : labels)
      (*found)[static_cast<size_t>(q)].push_back(std::to_string(label));
  }
  return MillisecondsSince(start) / kQueries;
}

double Recall(const Found& found, const Found& expected) {
  double n = 0;
  double n_expected = 0;
  for (size_t q = 0; q < expected.size(); ++q) {
    n_expected += static_cast<double>(expected[q].size());
    for (const std::string& id : expected[q])
      n += static_cast<double>(std::count(found[q].begin(), found[q].end(), id));
  }
  return n / n_expected;
}

// Seconds.
double RunUpkeep(ScanVectorIndex* index) {
  const auto start = Clock::now();
  while (const VectorIndex::Upkeep upkeep = index->NextUpkeep()) upkeep()();
  return MillisecondsSince(start) / 1000;
}

int Search(const char* path, int n, int n_rounds, double share) {
  omp_set_num_threads(1);
  const Data data = Load(path, n);
  faiss::IndexFlatIP flat(kDimension);
  flat.add(n, data.vectors.data());
  const int64_t all = int64_t{n} + 1;
  const auto scan = Build(data, n, false, {.exact_up_to = all});
  const auto avx2 = Build(data, n, false, {.exact_up_to = all, .isa = kernels::Isa::kAvx2});
  const auto scoped = Build(data, n, true, {.exact_up_to = all});
  const auto near = Build(data, n, false, {.exact_up_to = n / 2, .probed_share = share});
  JsonObject json;
  json.Add("upkeep_s", RunUpkeep(near.get()));

  SearchFilter user = Everybody();
  user.scope.user_id = "u7";
  Found by_flat, by_scan, by_avx2, by_near, by_user;
  Figures flat_ms, scan_ms, avx2_ms, near_ms, user_ms;
  for (int round = 0; round < n_rounds; ++round) {
    flat_ms.push_back(SearchFlat(flat, data, &by_flat));
    scan_ms.push_back(Search(*scan, data, Everybody(), &by_scan));
    avx2_ms.push_back(Search(*avx2, data, Everybody(), &by_avx2));
    near_ms.push_back(Search(*near, data, Everybody(), &by_near));
    user_ms.push_back(Search(*scoped, data, user, &by_user));
  }
  json.Add("flat_ms", flat_ms);
  json.Add("scan_ms", scan_ms);
  json.Add("scan_avx2_ms", avx2_ms);
  json.Add("near_ms", near_ms);
  json.Add("user_ms", user_ms);
  json.Add("scan_recall", Recall(by_scan, by_flat));
  json.Add("scan_avx2_recall", Recall(by_avx2, by_flat));
  json.Add("near_recall", Recall(by_near, by_flat));

  // The user's own memories in an index of their own are what the filter must find.
  faiss::IndexFlatIP own(kDimension);
  for (int i = 7; i < n; i += kUsers) own.add(1, data.Vector(i).data());
  Found expected;
  SearchFlat(own, data, &expected);
  for (auto& ids : expected)
    for (std::string& id : ids) id = std::to_string(7 + kUsers * std::stoi(id));
  json.Add("user_recall", Recall(by_user, expected));

  // A tenth deleted: none of it may come back, and what is left is found as before.
  faiss::IndexFlatIP left(kDimension);
  std::vector<std::string> ids;
  for (int i = 0; i < n; ++i) {
    if (i % 10 == 0) {
      scan->Remove(Memory(i).id);
      near->Remove(Memory(i).id);
    } else {
      left.add(1, data.Vector(i).data());
      ids.push_back(Memory(i).id);
    }
  }
  SearchFlat(left, data, &expected);
  for (auto& query_ids : expected)
    for (std::string& id : query_ids) id = ids[static_cast<size_t>(std::stoi(id))];
  Search(*scan, data, Everybody(), &by_scan);
  Search(*near, data, Everybody(), &by_near);
  json.Add("scan_recall_after_deleting", Recall(by_scan, expected));
  json.Add("near_recall_after_deleting", Recall(by_near, expected));
  return 0;
}

}  // namespace
}  // namespace dki::retrieval

int main(int argc, char** argv) {
  using namespace dki::retrieval;  // NOLINT(build/namespaces)
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "embed" && argc == 4) return Embed(argv[2], argv[3]);
  if (mode == "speed" && argc == 4) return Speed(argv[2], std::atoi(argv[3]));
  if (mode == "search" && argc >= 5)
    return Search(argv[2], std::atoi(argv[3]), std::atoi(argv[4]),
                  argc > 5 ? std::atof(argv[5]) : ScanVectorIndex::Options().probed_share);
  std::fprintf(stderr, "usage: retrieval_bench embed|speed|search ...\n");
  return 2;
}
